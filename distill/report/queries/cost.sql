-- What the traces cost by source: tokens of all attempts, over the traces that are kept.
SELECT source, problems, traces, correct, kept, kept / traces AS share, tokens, tokens_per_kept_trace FROM cost

-- From problems to kept traces: a row without a reason is what enters a step, the rows under it are what each reason takes
-- out before the next.
SELECT step, reason, n, tokens FROM funnel

"""Programs that run inside the sandbox, sent there as text. Nothing of distill imports them."""

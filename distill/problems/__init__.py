"""Problems: where prompts and reference answers come from, and how they are split."""

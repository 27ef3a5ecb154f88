-- As DeepSeek-R1's authors chose their 600,000 reasoning samples (arXiv 2501.12948, section 2.3.3): several right answers to
-- a prompt, less the chains with mixed languages, long paragraphs or code blocks.
SELECT id FROM kept
WHERE NOT list_has_any(concerns, ['mixed_language', 'long_paragraph', 'code_block'])

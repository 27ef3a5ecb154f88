-- What each training took, and how far what ships is from what was trained (nats per token, on rows of the training set).
SELECT
    student,
    max(value) FILTER (name = 'rows') AS n_rows, max(value) FILTER (name = 'steps') AS steps,
    max(value) FILTER (name = 'tokens_per_second') AS tokens_per_second,
    max(value) FILTER (name = 'useful_token_share') AS useful_token_share, max(value) FILTER (name = 'mfu') AS mfu,
    max(value) FILTER (name = 'peak_memory_gb') AS peak_memory_gb, max(value) FILTER (name = 'seconds') / 60 AS minutes,
    max(value) FILTER (name = 'parity.mean_nats') AS parity_nats
FROM models LEFT JOIN metrics ON stage = 'train_' || student
WHERE role = 'student'
GROUP BY student, place
ORDER BY place

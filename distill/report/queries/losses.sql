-- The training loss by step, in nats per trained token.
SELECT student AS model, step, loss FROM losses ORDER BY student, step

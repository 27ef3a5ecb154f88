-- How much of the way from base to teacher a student went: (student - base) / (teacher - base), with a bootstrap interval
-- over problems. NULL where the teacher is not shown to be better than the base: there is no way to go then.
SELECT
    s.student, s.benchmark, count(*) AS n,
    unnest(gap_closed(
        list(b.correct / b.n ORDER BY s.problem_id),
        list(s.correct / s.n ORDER BY s.problem_id),
        list(t.correct / t.n ORDER BY s.problem_id)
    ))
FROM questions s
JOIN questions b ON b.role = 'base' AND b.student = s.student AND (b.benchmark, b.problem_id) = (s.benchmark, s.problem_id)
JOIN questions t ON t.role = 'teacher' AND (t.benchmark, t.problem_id) = (s.benchmark, s.problem_id)
WHERE s.role = 'student'
GROUP BY s.student, s.place, s.benchmark
ORDER BY s.place, s.benchmark = 'all', s.benchmark

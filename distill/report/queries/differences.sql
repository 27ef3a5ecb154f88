-- A student minus its base, and minus the teacher, problem by problem: the mean, its 95 % interval and a sign-flip
-- permutation p. `p_holm` is p after Holm's correction over the benchmarks; `all` pools them and stands apart.
WITH pairs AS (
    SELECT
        s.student, s.place, s.benchmark, other.role AS versus,
        list(s.correct / s.n ORDER BY s.problem_id) AS after,
        list(other.correct / other.n ORDER BY s.problem_id) AS before
    FROM questions s
    JOIN questions other
        ON other.benchmark = s.benchmark AND other.problem_id = s.problem_id
        AND (other.role = 'teacher' OR other.role = 'base' AND other.student = s.student)
    WHERE s.role = 'student'
    GROUP BY ALL
), differences AS (
    SELECT student, place, benchmark, versus, unnest(paired_difference(after, before)) FROM pairs
), corrected AS (
    SELECT student, versus, unnest(list(benchmark ORDER BY benchmark)) AS benchmark, unnest(holm(list(p ORDER BY benchmark))) AS p_holm
    FROM differences WHERE benchmark <> 'all' GROUP BY student, versus
)
SELECT student, versus, benchmark, concat(student, ' - ', versus, ', ', benchmark) AS bar, n, mean, se, low, high, p, p_holm
FROM differences LEFT JOIN corrected USING (student, versus, benchmark)
ORDER BY place, versus, benchmark = 'all', benchmark

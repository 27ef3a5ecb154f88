"""Which samples of a problem to ask for next: what is still wanted, and no more.

A course of one problem goes in rounds. Each asks for exactly the deficit, the wanted traces that are not verified yet:
traces that a budget cut are continued first, fresh samples follow. A round ends when all of it is settled, so no
sibling that was started is dropped, and chains that finish early have no advantage over long ones. Different problems
do not wait for each other.

What a course does follows from the answers alone. So a run that goes on after a kill asks what it would have asked, and
the same answers give the same traces.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from distill.generation.cache import Entry, Slot
from distill.records import FinishReason, Problem
from distill.settings import GenerateSettings, SamplingSettings


class Stop(StrEnum):
    """Why no more is asked of a problem."""

    ALL = "all"  # every sample was wanted and is there
    ENOUGH = "enough"  # as many are verified as were wanted
    SAMPLES = "samples"  # no sample is left to ask for
    GAVE_UP = "gave_up"  # too many failures and nothing verified
    TOKENS = "tokens"  # the problem has cost what it may cost
    REFUSED = "refused"  # the server will never answer it


@dataclass(frozen=True, slots=True)
class Rules:
    """How many samples, and when to stop. `want` None is all; `budgets` rise, the last one is final."""

    samples: int
    budgets: tuple[int, ...]
    want: int | None = None
    give_up_after: int | None = None
    tokens_per_problem: int | None = None

    @classmethod
    def of(cls, sampling: SamplingSettings) -> "Rules":
        """The rules in params; an evaluation has no others than its number of samples."""
        if not isinstance(sampling, GenerateSettings):
            return cls(sampling.samples, (sampling.max_tokens,))
        budgets = (*sampling.budget_steps, sampling.max_tokens)
        limits = (sampling.want, sampling.give_up_after, sampling.max_tokens_per_problem)
        return cls(sampling.samples, budgets, *limits)


@dataclass(frozen=True, slots=True)
class Job:
    """One sample to be asked for under a budget of tokens."""

    problem: Problem
    sample_index: int
    budget: int

    @property
    def slot(self) -> Slot:
        """Its place in the cache."""
        return self.problem.id, self.sample_index


@dataclass(slots=True)
class Course:
    """The samples of one problem: what landed, what is open, and why it stopped, once it has."""

    problem: Problem
    rules: Rules
    answers: dict[int, Entry] = field(default_factory=dict)  # by sample index, the last one to land
    verified: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    begun: int = 0  # samples that were ever asked for
    open: int = 0
    stop: Stop | None = None

    def next_round(self) -> list[Job]:
        """What to ask now that nothing is open; empty, with `stop` set, when that is nothing."""
        assert self.open == 0, "a round is still open"
        if self.stop is None:
            self.stop = self._why_stop()
        if self.stop is not None:
            return []
        cut = [(index, budget) for index in self.answers if (budget := self._next_budget(index))]
        fresh = [(index, self.rules.budgets[0]) for index in range(self.begun, self.rules.samples)]
        deficit = None if self.rules.want is None else self.rules.want - len(self.verified)
        jobs = [Job(self.problem, index, budget) for index, budget in (cut + fresh)[:deficit]]
        self.open = len(jobs)
        self.begun = max(self.begun, *(job.sample_index + 1 for job in jobs))
        return jobs

    def settle(self, job: Job, answer: Entry, verified: bool) -> None:
        """Take in the answer to an open job."""
        self.answers[job.sample_index] = answer
        if verified:
            self.verified.add(job.sample_index)
        self.open -= 1

    def refuse(self, job: Job) -> None:
        """Take in that the server will never answer an open job."""
        self.refused.add(job.sample_index)
        self.open -= 1

    def _next_budget(self, index: int) -> int | None:
        """The budget under which a cut trace goes on; None for one that has ended, or cannot go on."""
        answer = self.answers[index]
        if answer.finish_reason != FinishReason.LENGTH or index in self.refused:
            return None
        return next((budget for budget in self.rules.budgets if budget > answer.max_tokens), None)

    def _why_stop(self) -> Stop | None:
        rules, n_cut = self.rules, sum(self._next_budget(index) is not None for index in self.answers)
        if self.refused and not self.answers:
            return Stop.REFUSED
        if rules.want is not None and len(self.verified) >= rules.want:
            return Stop.ENOUGH
        if not n_cut and self.begun == rules.samples:
            return Stop.ALL if rules.want is None else Stop.SAMPLES
        failed = self.begun - n_cut
        if rules.give_up_after is not None and not self.verified and failed >= rules.give_up_after:
            return Stop.GAVE_UP
        spent = sum(answer.completion_tokens for answer in self.answers.values())
        if rules.tokens_per_problem is not None and spent >= rules.tokens_per_problem:
            return Stop.TOKENS
        return None

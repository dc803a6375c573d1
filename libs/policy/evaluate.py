"""Which rule wins, what it does, and why no other one did (NENA-STA-010.3, sections 3.3.3 and 4.2.1.5 to 4.2.1.7).

Invariant: of the rules of a policy whose conditions hold, the one of the highest priority wins; in which order rules
and policies are given changes nothing. An expired policy is never asked, nor one whose owner does not own the queue.

What the standard's public parts leave open, and is taken so here: a rule that only notifies or logs does that and does
not end the search; a rule that invokes a policy in which no rule wins counts as one that did not hold; a policy that
is being asked is not asked again from within. Where nothing wins (the standard's fatal error, section 4.2.1.6), the
contact falls to the alliance's default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from libs.policy.document import Action, Key, Policy, Rule
from libs.policy.judge import Judged, Moment, judge
from libs.policy.state import State
from libs.policy.values import domain_of
from libs.policy.vocabulary import NORMAL_NEXT_HOP, OTHER, policy_type

Verdict: TypeAlias = Literal["won", "told", "invoked-in-vain", "did-not-hold", "not-known", "tried-before", "outranked"]


@dataclass(frozen=True)
class Considered:
    """A rule, and why it won or did not."""

    policy: Key
    rule: str
    priority: int
    verdict: Verdict
    why: str
    conditions: tuple[Judged, ...] = ()


@dataclass(frozen=True)
class PassedOver:
    """A policy that was not asked."""

    policy: Key
    why: str


@dataclass(frozen=True)
class Evaluation:
    outcome: Literal["route", "busy", "default"]
    """`default`: no rule won, and the contact falls to the alliance's default."""
    why: str
    policy: Key | None = None
    rule: str | None = None
    """The i3 ruleId that won."""
    recipient_uri: str | None = None
    rna_timer_s: int | None = None
    """How long an offer may ring; None: as long as is provisioned."""
    cause: str | None = None
    tell: tuple[Action, ...] = ()
    """Notify and log actions of the rules that held, in the order in which to do them."""
    considered: tuple[Considered, ...] = ()
    """Every rule of every policy that was asked, as it was come to."""
    passed_over: tuple[PassedOver, ...] = ()

    def explain(self) -> Iterator[str]:
        """For people: what was decided, then each rule and each policy that was passed over, a sentence each."""
        yield self.why
        for one in self.considered:
            yield f"Rule {one.rule} (priority {one.priority}): {one.why}."
        for other in self.passed_over:
            yield f"The {other.policy.type} {other.policy.name}: {other.why}."


def evaluate(policies: Iterable[Policy], state: State, now: datetime) -> Evaluation:
    """Decide by the policies that there are. `now` has an offset. Raises ValueError where two have one key."""
    run = _Run(policies, state, now)
    owner = domain_of(state.owner)
    first = None if state.queue is None or owner is None else run.find(owner, state.policy_type, state.queue)
    if first is not None:
        run.ask(first)
    return run.outcome(first)


@dataclass
class _Run:
    given: Iterable[Policy]
    state: State
    now: datetime
    policies: dict[Key, Policy] = field(init=False)
    next_hop: str | None = None
    asked: set[tuple[Key, str | None]] = field(default_factory=set)
    """With what Normal-NextHop was: asked again with the same, it can say nothing else."""
    considered: list[Considered] = field(default_factory=list)
    passed_over: dict[Key, str] = field(default_factory=dict)
    tell: list[Action] = field(default_factory=list)
    won: tuple[Policy, Rule, Action] | None = None

    def __post_init__(self) -> None:
        self.policies = {}
        for policy in self.given:
            if policy.key in self.policies:
                raise ValueError("two policies have the same owner, type and name")
            self.policies[policy.key] = policy

    def find(self, owner: str, kind: str, name: str) -> Policy | None:
        """The owner's policy of that name, where there is one that may be asked."""
        policy = self.policies.get(Key(owner, kind, name))
        if policy is not None and policy.expired(self.now):
            self.passed_over[policy.key] = "it has expired"
            return None
        if policy is None:
            for other in self.policies.values():
                if other.key[1:] == (kind, name):
                    self.passed_over[other.key] = "its owner is not whose queue it is"
        return policy

    def ask(self, policy: Policy) -> bool:
        """Whether one of its rules, or of those that it invokes, wins."""
        self.asked.add((policy.key, self.next_hop))
        for rule in sorted(policy.rules, key=lambda rule: -rule.priority):
            if self.won is not None:
                self._note(policy, rule, "outranked", "a rule of higher priority won")
            elif (policy.key, rule.id) in self.state.failed:
                self._note(policy, rule, "tried-before", "it won before, and where it led nobody answered")
            else:
                self._try(policy, rule)
        return self.won is not None

    def _try(self, policy: Policy, rule: Rule) -> None:
        judged = tuple(self._judged(rule))
        if failing := next((one for one in judged if one.holds is False), None):
            self._note(policy, rule, "did-not-hold", failing.why, judged)
            return
        if unknown := next((one for one in judged if one.holds is None), None):
            self._note(policy, rule, "not-known", unknown.why, judged)
            return
        action = rule.deciding
        others = [one for one in rule.actions if one is not action]
        holds = "all its conditions hold" if judged else "it has no conditions"
        if action is None:
            self.tell += others
            self._note(policy, rule, "told", f"{holds}, and it only notifies or logs", judged)
        elif action.kind != "InvokePolicyAction":
            self.tell += others
            self.won = policy, rule, action
            self._note(policy, rule, "won", holds, judged)
        else:
            self._invoke(policy, rule, action, others, judged)

    def _judged(self, rule: Rule) -> Iterator[Judged]:
        for condition in rule.conditions:
            yield judge(condition, Moment(self.state, self.now, self.next_hop))
            if condition.kind == "LostServiceUrnCondition":
                self.next_hop = self.state.next_hops.get(condition.members["urn"])

    def _invoke(
        self, policy: Policy, rule: Rule, action: Action, others: list[Action], judged: tuple[Judged, ...]
    ) -> None:
        at, told = len(self.considered), len(self.tell)
        target = self._target(policy, action)
        if target is None:
            why = "the policy that it invokes is not there"
        elif (target.key, self.next_hop) in self.asked:
            why = "the policy that it invokes has been asked already"
        elif self.ask(target):
            self.tell[told:told] = others
            self.considered.insert(
                at, self._said(policy, rule, "won", "it invokes the policy in which a rule won", judged)
            )
            return
        else:
            why = "no rule won in the policy that it invokes"
        del self.tell[told:]
        self.considered.insert(at, self._said(policy, rule, "invoked-in-vain", why, judged))

    def _target(self, policy: Policy, action: Action) -> Policy | None:
        kind = policy_type(action.members["policyType"])
        assert kind is not None
        if kind == OTHER:
            return self.find(policy.key.domain, kind, action.members["policyId"])
        default = self.next_hop if kind == NORMAL_NEXT_HOP else self.state.queue
        queue = action.members.get("policyQueueName", default)
        if queue is None:
            return None
        owner = domain_of(self.state.queue_owners.get(queue, self.state.owner))
        return None if owner is None else self.find(owner, kind, queue)

    def _said(
        self, policy: Policy, rule: Rule, verdict: Verdict, why: str, judged: tuple[Judged, ...] = ()
    ) -> Considered:
        return Considered(policy.key, rule.id, rule.priority, verdict, why, judged)

    def _note(self, policy: Policy, rule: Rule, verdict: Verdict, why: str, judged: tuple[Judged, ...] = ()) -> None:
        self.considered.append(self._said(policy, rule, verdict, why, judged))

    def outcome(self, first: Policy | None) -> Evaluation:
        passed = tuple(PassedOver(key, why) for key, why in sorted(self.passed_over.items()))
        considered, tell = tuple(self.considered), tuple(self.tell)
        if self.won is None:
            why = "No policy says where this queue's contacts go" if first is None else "No rule won"
            return Evaluation(
                outcome="default",
                why=f"{why}: it falls to the alliance's default.",
                tell=tell,
                considered=considered,
                passed_over=passed,
            )
        policy, rule, action = self.won
        busy = action.kind == "BusyAction"
        what = "is busy" if busy else f"goes to {action.members['recipientUri']}"
        return Evaluation(
            outcome="busy" if busy else "route",
            why=f"It {what}, by rule {rule.id} of {policy.owner}.",
            policy=policy.key,
            rule=rule.id,
            recipient_uri=action.members.get("recipientUri"),
            rna_timer_s=action.members.get("rnaTimer"),
            cause=action.members.get("cause"),
            tell=tell,
            considered=considered,
            passed_over=passed,
        )

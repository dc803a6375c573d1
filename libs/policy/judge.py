"""Whether one condition holds (NENA-STA-010.3, section 3.3.3.1), and why, in words.

The words name what the rule asks and what a queue or service does; never what a contact says, which may be personal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from libs.policy.document import Condition
from libs.policy.state import State
from libs.policy.values import DAY_S, DAYS, days_of, second_of_day, time_of


class Judged(NamedTuple):
    kind: str
    holds: bool | None
    """None: nobody knows."""
    why: str


class Moment(NamedTuple):
    """What conditions are held against."""

    state: State
    now: datetime
    next_hop: str | None
    """The variable Normal-NextHop; None: no LostServiceUrnCondition has set it (section 3.3.3.1.9)."""


_Answer: TypeAlias = tuple[bool | None, str]
_Judge: TypeAlias = Callable[[Mapping[str, Any], Moment], _Answer]


def judge(condition: Condition, moment: Moment) -> Judged:
    """What is not known stays so when it is negated."""
    holds, why = _JUDGES[condition.kind](condition.members, moment)
    if condition.negated and holds is not None:
        return Judged(condition.kind, not holds, f"not so: {why}" if holds else why)
    return Judged(condition.kind, holds, why)


def _period(members: Mapping[str, Any], moment: Moment) -> _Answer:
    start, end = time_of(members["dateStart"]), time_of(members["dateEnd"])
    assert start is not None
    assert end is not None
    if not start <= moment.now <= end:
        return False, f"it is {'before' if moment.now < start else 'after'} the period"
    there = moment.now.astimezone(start.tzinfo)
    if "weekdayList" in members and DAYS[there.weekday()] not in (days_of(members["weekdayList"]) or ()):
        return False, f"it is {DAYS[there.weekday()]}, not {members['weekdayList']}"
    opens = second_of_day(members.get("timeStart", "00:00:00")) or 0
    closes = second_of_day(members.get("timeEnd", "24:00:00")) or DAY_S
    second = there.hour * 3600 + there.minute * 60 + there.second
    if not opens <= second <= closes:
        return False, f"it is {there:%H:%M:%S} at that offset, not from {_clock(opens)} to {_clock(closes)}"
    return True, "it is within the period"


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _header(members: Mapping[str, Any], moment: Moment) -> _Answer:
    name, operator = members["field"].lower(), members["operator"]
    if moment.state.headers is None:
        return None, "the header fields are not known"
    values = moment.state.headers.get(name, ())
    if operator == "IS":
        if members["content"] == "missing":
            return not values, f"the field {members['field']} is {'there' if values else 'missing'}"
        wrong = name in moment.state.erroneous_headers
        return wrong, f"the field {members['field']} is {'' if wrong else 'not '}erroneous"
    holds = any(_compare(operator, value, members["content"]) for value in values)
    return holds, f"the field {members['field']} {_is(holds)}"


def _additional(members: Mapping[str, Any], moment: Moment) -> _Answer:
    blocks = moment.state.additional_data
    if blocks is None:
        return None, "the additional data is not known"
    block, operator = blocks.get(members["type"]), members["operator"]
    if operator in ("exists", "missing"):
        there = block is not None
        return there == (operator == "exists"), f"the block {members['type']} is {'' if there else 'not '}there"
    return _element(block, members)


def _part(members: Mapping[str, Any], moment: Moment) -> _Answer:
    parts = moment.state.body_parts
    if parts is None:
        return None, "the body is not known"
    return _element(parts.get(members["contentType"].lower()), members)


def _element(elements: Mapping[str, str] | None, members: Mapping[str, Any]) -> _Answer:
    value, operator = (elements or {}).get(members["element"]), members["operator"]
    if operator in ("exists", "missing"):
        there = value is not None
        return there == (operator == "exists"), f"the element {members['element']} is {'' if there else 'not '}there"
    if value is None:
        return False, f"the element {members['element']} is not there"
    holds = _compare(operator, value, members["content"])
    return holds, f"the element {members['element']} {_is(holds)}"


def _media_types(members: Mapping[str, Any], moment: Moment) -> _Answer:
    if moment.state.body_types is None:
        return None, "the body is not known"
    holds = not {one.lower() for one in members["mimeList"]}.isdisjoint(moment.state.body_types)
    return holds, f"the body has {'one' if holds else 'none'} of the types that are listed"


def _location(members: Mapping[str, Any], moment: Moment) -> _Answer:
    within = moment.state.lies_within
    if within is None:
        return None, "the location is not known"
    places = members["location"] if isinstance(members["location"], list) else [members["location"]]
    found = [within(place["profile"], place["lo"]) for place in places]
    if any(found):
        return True, "the location lies there"
    return (None, "whether the location lies there cannot be said") if None in found else (False, "it lies elsewhere")


def _suspicion(members: Mapping[str, Any], moment: Moment) -> _Answer:
    score = moment.state.suspicion
    if score is None:
        return None, "the call has no suspicion score"
    return members["scoreFrom"] <= score <= members["scoreTo"], f"the suspicion score is {score}"


def _of(states: Mapping[str, str], name: str, what: str, members: Mapping[str, Any]) -> _Answer:
    state = states.get(name)
    if state is None:
        return None, f"the {what} of {name} is not known"
    return (state == members["value"]) == (members["condition"] == "EQ"), f"the {what} of {name} is {state}"


def _next_hop(members: Mapping[str, Any], moment: Moment) -> _Answer:
    if moment.next_hop is None:
        return False, "Normal-NextHop is not defined"
    return _compare(members["operator"], moment.next_hop, members["content"]), f"Normal-NextHop is {moment.next_hop}"


def _lost(members: Mapping[str, Any], moment: Moment) -> _Answer:
    """Holds where LoST has an answer; that it becomes Normal-NextHop is `evaluate`'s to see to."""
    if members["urn"] not in moment.state.next_hops:
        return None, f"LoST has not been asked for {members['urn']}"
    hop = moment.state.next_hops[members["urn"]]
    return hop is not None, f"LoST has {'no answer' if hop is None else hop} for {members['urn']}"


def _named(value: str | None, what: str, members: Mapping[str, Any]) -> _Answer:
    if value is None:
        return None, f"the {what} is not known"
    holds = _compare(members["operator"], value, members["content"])
    return holds, f"the {what} {_is(holds)}"


def _offer(members: Mapping[str, Any], moment: Moment) -> _Answer:
    """Every medium and language that is named must be offered. `text` is real-time text or instant messages.

    Of a preference the standard's public schema has the names alone: taken here as asking whether `langTest` is what
    the offer prefers among `langList`.
    """
    media = moment.state.media
    if media is None:
        return None, "what is offered is not known"
    for medium in ("video", "audio", "rtt", "im", "text"):
        alternatives = ("rtt", "im") if medium == "text" else (medium,)
        offered = [media[one] for one in alternatives if one in media]
        languages = [language.lower() for one in offered for language in one]
        title = medium.capitalize()
        if members.get(medium) and not offered:
            return False, f"{medium} is not offered"
        wanted = members.get(f"lang{title}")
        if wanted is not None and {one.lower() for one in wanted}.isdisjoint(languages):
            return False, f"{medium} is not offered in a language that is listed"
        preference = members.get(f"lang{title}Pref")
        if preference is not None and _preferred(preference, languages) != preference["langTest"].lower():
            return False, f"{medium} is not preferred in that language"
    return True, "it is offered"


def _preferred(preference: Mapping[str, Any], languages: Sequence[str]) -> str | None:
    listed = preference["langList"]
    among = listed.split(",") if isinstance(listed, str) else listed
    wanted = {one.strip().lower() for one in among}
    return next((language for language in languages if language in wanted), None)


def _alert(members: Mapping[str, Any], moment: Moment) -> _Answer:
    state = moment.state
    if state.alert is None:
        return None, "whether it holds an alert is not known"
    if "nonInteractive" in members:
        if state.alert_non_interactive is None:
            return None, "whether it is interactive is not known"
        if state.alert_non_interactive != members["nonInteractive"]:
            return False, f"it is {'non-' if state.alert_non_interactive else ''}interactive"
    if "operator" not in members:
        return True, "it is as interactive as asked"
    value = state.alert.get(members["tag"])
    holds = value is not None and _compare(members["operator"], value, members["content"])
    return holds, f"the alert's {members['tag']} {_is(holds)}"


def _compare(operator: str, value: str, content: str) -> bool:
    """Numbers are compared as numbers where both are, all else as text."""
    match operator:
        case "EQ":
            return value == content
        case "NE":
            return value != content
        case "SS":
            return content in value
    try:
        left: Any = float(value)
        right: Any = float(content)
    except ValueError:
        left, right = value, content
    greater, equal = left > right, left == right
    return bool({"GT": greater, "GE": greater or equal, "LT": left < right, "LE": left < right or equal}[operator])


def _is(holds: bool) -> str:
    return "is as the rule asks" if holds else "is not as the rule asks"


_JUDGES: Mapping[str, _Judge] = {
    "TimePeriodCondition": _period,
    "SipHeaderCondition": _header,
    "AdditionalDataCondition": _additional,
    "MimeBodyCondition": _media_types,
    "LocationCondition": _location,
    "CallSuspicionCondition": _suspicion,
    "SecurityPostureCondition": lambda m, at: _of(at.state.postures, m["service"], "security posture", m),
    "QueueStateCondition": lambda m, at: _of(at.state.queues, m["queue"], "state", m),
    "LostServiceUrnCondition": _lost,
    "ServiceStateCondition": lambda m, at: _of(at.state.services, m["service"], "state", m),
    "CallSourceCondition": lambda m, at: _named(at.state.call_source, "call source", m),
    "BodyPartCondition": _part,
    "RequestUriCondition": lambda m, at: _named(at.state.request_uri, "request URI", m),
    "NormalNextHopCondition": _next_hop,
    "IncomingQueueCondition": lambda m, at: _named(at.state.queue, "incoming queue", m),
    "SdpOfferCondition": _offer,
    "CapCondition": _alert,
    "CallingNumberVerificationStatusCondition": lambda m, at: _named(
        at.state.number_verification, "verification of the calling number", m
    ),
}

"""A force's routing policies: read and checked, evaluated, explained. Pure: no database, no Kafka, no HTTP.

open_envelope(…)  ->  the document, and who signed it        (signature.py)
read(document)    ->  a Policy, or Refused with every fault  (document.py, vocabulary.py, values.py)
evaluate(…)       ->  which rule won, and why no other did   (evaluate.py, judge.py)
"""

from libs.policy.document import Action, Condition, Key, Policy, Rule, read
from libs.policy.evaluate import Considered, Evaluation, PassedOver, evaluate
from libs.policy.refusals import Fault, Kind, Refused
from libs.policy.signature import Opened, authorities, open_envelope, unwrap
from libs.policy.state import State
from libs.policy.values import domain_of
from libs.policy.vocabulary import NORMAL_NEXT_HOP, ORIGINATION, OTHER, POLICY_TYPES, policy_type

__all__ = [
    "NORMAL_NEXT_HOP",
    "ORIGINATION",
    "OTHER",
    "POLICY_TYPES",
    "Action",
    "Condition",
    "Considered",
    "Evaluation",
    "Fault",
    "Key",
    "Kind",
    "Opened",
    "PassedOver",
    "Policy",
    "Refused",
    "Rule",
    "State",
    "authorities",
    "domain_of",
    "evaluate",
    "open_envelope",
    "policy_type",
    "read",
    "unwrap",
]

"""What the cell of a question reads, with the values, None for what is absent or not at hand."""

from __future__ import annotations

from collections.abc import Mapping

from policy_lang.ir import Attr, Program, Value
from policy_lang.meaning.admission import Admission, Refused
from policy_lang.meaning.evaluation import value_of
from policy_lang.meaning.inputs import ReadSet
from policy_lang.verdict import Question


def reads(program: Program, question: Question) -> Mapping[Attr, Value | None]:
    """Nothing where the question is not admitted."""
    call = Admission.of(program).admit(question)
    if isinstance(call, Refused):
        return {}
    read = ReadSet.of(program, call.cell, call.endpoint, call.kind)
    return {attr: value_of(attr, call.environment) for attr in read.attrs}

"""The licence chain of a request, and the refusal of what may not be sold."""

from __future__ import annotations

import pytest

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.rights import check_commercial, rights_of
from dcldm_plugin.types import AudioSource, Control, GenerationRequest, Parent, Rights


def request(model: str = "builtin", control: Control | None = None) -> GenerationRequest:
    return GenerationRequest.create("rain", model=model, control=control, seed=1)


def test_the_builtin_model_may_be_used_commercially() -> None:
    rights = rights_of(request())
    assert rights.commercial_use and [link.licence for link in rights.chain] == ["CC-BY-SA-4.0"]
    check_commercial(request())


def test_every_part_of_a_model_is_a_link() -> None:
    rights = rights_of(request("tango-bridge"))
    assert len(rights.chain) == 4
    assert not rights.commercial_use
    assert "MAY NOT" in rights.sentence
    with pytest.raises(InvalidInput, match=r"may not be used commercially \(TANGO"):
        check_commercial(request("tango-bridge"))


def test_a_parent_s_licence_is_inherited_with_its_sound() -> None:
    parent = Parent(request("tango-bridge"))
    source = AudioSource("/nowhere/a.wav", "0" * 64)
    purified = request(control=Control("purify", (parent,), 0.5, audio=source))
    assert not rights_of(purified).commercial_use
    assert rights_of(request(control=Control("regenerate", (parent,)))).commercial_use


def test_a_file_of_anybody_s_is_named() -> None:
    like = request(control=Control("like", amount=0.5, audio=AudioSource("/nowhere/their voice.wav", "0" * 64)))
    assert rights_of(like).chain[-1].what == "the sound their voice.wav"
    assert rights_of(like).chain[-1].licence == "yours to clear"


def test_a_model_that_nobody_knows_is_not_for_sale() -> None:
    assert not rights_of(request("somebody's folder")).commercial_use


def test_a_chain_survives_being_written() -> None:
    from dataclasses import asdict

    rights = rights_of(request("tango"))
    assert Rights.from_json(asdict(rights)) == rights

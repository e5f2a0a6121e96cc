"""What a clip's record says, once for each kind of reader: bext, iXML with USER and ASWG fields, LIST INFO, smpl, cue.

iXML: http://www.gallery.co.uk/ixml/. USER holds what sound libraries (Soundminer and those that read like it) show.
ASWG: Sony's iXML extension 1.1 (https://github.com/Sony-ASWG/iXML-Extension), whose schema wants its elements in
its own order. By its annotations `maxPeak` is the largest sample value in dBFS, `isDesigned` the opposite of a raw
recording, `isGenerated` AI content, `isLoop` loopable content. `usageRights` is a code for dialogue and `rightsOwner`
for music, so that licences stand in `notes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from dcldm_plugin.audio import wave
from dcldm_plugin.delivery import PRIVATE, Delivery
from dcldm_plugin.types import Rights, UcsName

ASWG_VERSION = "1.1"
PEAK_CUE = 1


def chunks(record: Mapping[str, Any], delivery: Delivery, *, whole: bool = False) -> dict[bytes, bytes]:
    """The chunks of a clip's file. whole: nothing is left out, as in what never leaves the library."""
    return _Writer(record, delivery, frozenset() if whole else delivery.leave_out).chunks()


class _Writer:
    def __init__(self, record: Mapping[str, Any], delivery: Delivery, leave_out: frozenset[str]) -> None:
        self.record, self.delivery, self.leave_out = record, delivery, leave_out
        self.request = record["request"]
        self.created = datetime.fromisoformat(record["created"])
        self.ucs = UcsName(**record["ucs"])
        self.row = delivery.table().rows.get(self.ucs.cat_id)
        self.rights = Rights.from_json(record["rights"])
        self.measured: Mapping[str, float | None] = record["finishing"]["measured"]
        self.loops = bool(record["finishing"]["loop"] or "wrap" in record["finishing"]["done"])

    def chunks(self) -> dict[bytes, bytes]:
        found = {
            wave.BROADCAST: self.broadcast(),
            wave.IXML: self.ixml(),
            wave.INFO: wave.info_chunk(self.info()),
        }
        if self.loops and self.tells("loop"):
            found[wave.SAMPLER] = wave.sampler_chunk(self.record["sample_rate"], 0, self.record["frames"])
        if self.record.get("peak_frame") is not None and self.tells("cue"):
            found[wave.CUE] = wave.cue_chunk({PEAK_CUE: self.record["peak_frame"]})
            found[wave.LABELS] = wave.labels_chunk({PEAK_CUE: "peak"})
        return found

    def tells(self, field: str) -> bool:
        return field not in self.leave_out

    @property
    def title(self) -> str:
        """The prompt, or what may be said in its place."""
        if self.tells("prompt"):
            return str(self.request["prompt"]["text"])
        return self.ucs.fx_name if self.tells("ucs") else "sound effect"

    @property
    def software(self) -> str:
        return f"{wave.ORIGINATOR} {self.record['software']}" if self.tells("software") else ""

    def broadcast(self) -> bytes:
        # EBU R 98: coding algorithm, sampling frequency, word length, mode, free text (which has no commas).
        mode = {1: "mono", 2: "stereo"}.get(self.record["channels"], "multitrack")
        notes = [self.software] if self.software else []
        if self.tells("model"):
            notes.append(f"model {self.request['model']} {self.record['model_version']}".strip().replace(",", " "))
        if self.tells("seeds"):
            seeds = self.request["seeds"][0]
            notes.append(f"seeds {seeds['structure']} {seeds['texture']}")
        history = f"A=PCM,F={self.record['sample_rate']},W=24,M={mode},T={'; '.join(notes)}"
        return wave.broadcast_chunk(
            self.title,
            self.record["id"],
            self.created if self.tells("date") else None,
            history,
            originator=wave.ORIGINATOR if self.tells("software") else "",
            loudness=self.measured if self.tells("loudness") else None,
        )

    def info(self) -> dict[str, str]:
        fields = {"INAM": self.title}
        if self.tells("software"):
            fields |= {"IART": wave.ORIGINATOR, "ISFT": self.software}
        if self.tells("date"):
            fields["ICRD"] = f"{self.created:%Y-%m-%d}"
        if self.tells("ucs"):
            fields["IKEY"] = self.keywords
        if self.tells("licence"):
            fields["ICOP"] = self.rights.sentence
        # ASCII with \u escapes: survives readers that guess another encoding.
        private = self.leave_out & PRIVATE
        fields["ICMT"] = json.dumps({"dcldm": self.record["dcldm"], "id": self.record["id"], "kept": sorted(private)}
                                    if private else self.record)  # fmt: skip
        return fields

    @property
    def keywords(self) -> str:
        words = [self.row.category, self.row.sub_category] if self.row else []
        return ", ".join(word.lower() for word in [*words, *self.ucs.fx_name.split()])

    def notes(self) -> str:
        said = []
        if self.tells("generated"):
            said.append("AI generated.")
        if self.record.get("band_hz"):
            said.append(f"Nothing above {self.record['band_hz']:g} Hz is in the sound.")
        if self.tells("licence"):
            said.append(self.rights.sentence[:1].upper() + self.rights.sentence[1:] + ".")
        return " ".join(said)

    def ixml(self) -> bytes:
        root = ElementTree.Element("BWFXML")
        _add(root, {"IXML_VERSION": "3.01", "NOTE": self.notes()})
        speed = ElementTree.SubElement(root, "SPEED")
        _add(speed, {"FILE_SAMPLE_RATE": self.record["sample_rate"], "AUDIO_BIT_DEPTH": 24})
        _add(ElementTree.SubElement(root, "USER"), self.user())
        _add(ElementTree.SubElement(root, "ASWG"), self.aswg())
        text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        return text

    def user(self) -> dict[str, Any]:
        named = self.ucs if self.tells("ucs") else None
        row = self.row if named else None
        return {
            "CATID": named.cat_id if named else "",
            "CATEGORY": row.category if row else "",
            "SUBCATEGORY": row.sub_category if row else "",
            "CATEGORYFULL": f"{row.category}-{row.sub_category}" if row else "",
            "FXNAME": named.fx_name if named else "",
            "TRACKTITLE": self.title,
            "DESCRIPTION": self.title,
            "KEYWORDS": self.keywords if named else "",
            "NOTES": self.notes(),
            "LIBRARY": self.delivery.library_title,
            "SOURCE": named.source_id if named else "",
            "DESIGNER": named.creator_id if named else "",
            "MANUFACTURER": self.software,
            "RELEASEDATE": f"{self.created:%Y-%m-%d}" if self.tells("date") else "",
        }

    def aswg(self) -> dict[str, Any]:
        """In the order of the schema."""
        named = self.ucs if self.tells("ucs") else None
        row = self.row if named else None
        measured = self.measured if self.tells("loudness") else {}
        return {
            "contentType": "sfx",
            "originator": named.creator_id if named else "",
            "notes": self.notes(),
            "state": "processed",
            "isGenerated": "true" if self.tells("generated") else "",
            "originationDate": f"{self.created:%Y-%m-%d}" if self.tells("date") else "",
            "channelConfig": {1: "Mono", 2: "Stereo"}.get(self.record["channels"], "Unknown"),
            "isDesigned": "true",
            "category": row.category if row else "",
            "subCategory": row.sub_category if row else "",
            "catId": named.cat_id if named else "",
            "fxName": named.fx_name if named else "",
            "library": self.delivery.library_title,
            "creatorId": named.creator_id if named else "",
            "sourceId": named.source_id if named else "",
            "loudness": measured.get("integrated_lufs"),
            "loudnessRange": measured.get("range_lu"),
            "maxPeak": measured.get("sample_peak_dbfs"),
            "isLoop": ("true" if self.loops else "false") if self.tells("loop") else "",
            "schemaVersion": ASWG_VERSION,
        }


def _add(parent: ElementTree.Element, fields: Mapping[str, Any]) -> None:
    """An element for each value that there is."""
    for name, value in fields.items():
        if value not in {None, ""}:
            ElementTree.SubElement(parent, name).text = str(value)

"""Small releases in the real form of each publisher, with made-up content."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CORE, US_ENGLISH, GB_ENGLISH = "900000000000207008", "900000000000509007", "900000000000508004"
NAME, SYNONYM, DEFINITION = "900000000000003001", "900000000000013009", "900000000000550004"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
PRIMITIVE, DEFINED = "900000000000074008", "900000000000073002"
INFERRED, STATED = "900000000000011006", "900000000000010007"
IS_A = "116680003"


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def table(header: str, rows: Sequence[Sequence[str]], separator: str = "\t", end: str = "\r\n") -> str:
    return "".join(separator.join(row) + end for row in (header.split(), *rows))


def rf2(**changes: str) -> dict[str, str]:
    """An RF2 snapshot by member name; ``changes`` replace or add the rows of a table."""
    day = "20240101"
    concepts = [
        ("138875005", day, "1", CORE, PRIMITIVE),
        ("404684003", day, "1", CORE, PRIMITIVE),
        ("22298006", day, "1", CORE, DEFINED),
        ("74281007", day, "1", CORE, PRIMITIVE),
        ("155304006", day, "0", CORE, PRIMITIVE),
    ]
    descriptions = [
        ("1", day, "1", CORE, "138875005", "en", NAME, "Root thing (root)", "x"),
        ("2", day, "1", CORE, "404684003", "en", NAME, "Finding (finding)", "x"),
        ("3", day, "1", CORE, "404684003", "en", SYNONYM, "Finding", "x"),
        ("4", day, "1", CORE, "22298006", "en", NAME, "Heart event (disorder)", "x"),
        ("5", day, "1", CORE, "22298006", "en", SYNONYM, "Cardiac event", "x"),
        ("6", day, "1", CORE, "22298006", "en", SYNONYM, "Heart event", "x"),
        ("7", day, "0", CORE, "22298006", "en", SYNONYM, "Retired wording", "x"),
        ("8", day, "1", CORE, "74281007", "en", SYNONYM, 'Muscle of the "heart"', "x"),
        ("9", day, "1", CORE, "155304006", "en", SYNONYM, "Old concept", "x"),
    ]
    relationships = [
        ("1", day, "1", CORE, "404684003", "138875005", "0", IS_A, INFERRED, "m"),
        ("2", day, "1", CORE, "22298006", "404684003", "0", IS_A, INFERRED, "m"),
        ("3", day, "1", CORE, "74281007", "138875005", "0", IS_A, INFERRED, "m"),
        ("4", day, "1", CORE, "22298006", "74281007", "1", "363698007", INFERRED, "m"),
        ("5", day, "1", CORE, "22298006", "74281007", "2", "363698007", INFERRED, "m"),
        ("6", day, "0", CORE, "22298006", "74281007", "0", IS_A, INFERRED, "m"),
        ("7", day, "1", CORE, "22298006", "138875005", "0", IS_A, STATED, "m"),
    ]
    languages = [
        ("a", day, "1", CORE, US_ENGLISH, "5", ACCEPTABLE),
        ("b", day, "1", CORE, US_ENGLISH, "6", PREFERRED),
        ("c", day, "1", CORE, GB_ENGLISH, "5", PREFERRED),
        ("d", day, "0", CORE, US_ENGLISH, "5", PREFERRED),
    ]
    definitions = [("20", day, "1", CORE, "22298006", "en", DEFINITION, "What the heart does.", "x")]
    values = [("30", day, "1", CORE, "22298006", "#2.50", "1", "1142135004", INFERRED, "m")]
    described = "id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId"
    related = "id effectiveTime active moduleId sourceId {} relationshipGroup typeId characteristicTypeId modifierId"
    tables = {
        "Terminology/sct2_Concept_Snapshot_INT": table("id effectiveTime active moduleId definitionStatusId", concepts),
        "Terminology/sct2_Description_Snapshot-en_INT": table(described, descriptions),
        "Terminology/sct2_TextDefinition_Snapshot-en_INT": table(described, definitions),
        "Terminology/sct2_Relationship_Snapshot_INT": table(related.format("destinationId"), relationships),
        "Terminology/sct2_StatedRelationship_Snapshot_INT": table(related.format("destinationId"), []),
        "Terminology/sct2_RelationshipConcreteValues_Snapshot_INT": table(related.format("value"), values),
        "Refset/Language/der2_cRefset_LanguageSnapshot-en_INT": table(
            "id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId", languages
        ),
    }
    for part, (before, after) in ((p, c.split("=>")) for p, c in changes.items()):
        (name,) = (n for n in tables if f"_{part}_" in n)
        assert before in tables[name], f"{before} is not in {name}"
        tables[name] = tables[name].replace(before, after)
    return {f"Release/Snapshot/{name}_{day}.txt": content for name, content in tables.items()}


def quoted(header: str, *rows: Sequence[str]) -> str:
    lines = [header.split(), *rows]
    return "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) + "\r\n" for line in lines)


LOINC_HEADER = (
    "LOINC_NUM COMPONENT PROPERTY TIME_ASPCT SYSTEM SCALE_TYP METHOD_TYP CLASS VersionLastChanged CLASSTYPE "
    "STATUS CONSUMER_NAME SHORTNAME ORDER_OBS LONG_COMMON_NAME EXAMPLE_UCUM_UNITS DisplayName"
)

LOINC_ROWS = (
    "1-8|Stuff|MCnc|Pt|Ser/Plas|Qn||CHEM|2.70|1|ACTIVE|Stuff, blood|Stuff SerPl-mCnc|Both|"
    'Stuff [Mass/volume] in "Serum"|mg/dL|Stuff',
    "2-6|Old|MCnc|Pt|Ser|Qn||CHEM|2.10|1|DEPRECATED||Old||Old\nstuff||",
)


def loinc(*, accessory: bool = True) -> dict[str, str]:
    """A LOINC release by member name."""
    files = {"LoincTable/Loinc.csv": "\ufeff" + quoted(LOINC_HEADER, *(row.split("|") for row in LOINC_ROWS))}
    if accessory:
        files["AccessoryFiles/PartFile/Part.csv"] = quoted(
            "PartNumber PartTypeName PartName PartDisplayName Status",
            ["LP1-1", "COMPONENT", "Stuff", "Stuff part", "ACTIVE"],
            ["LP9-9", "COMPONENT", "Gone", "", "DEPRECATED"],
        )
        files["AccessoryFiles/PartFile/LoincPartLink_Primary.csv"] = quoted(
            "LoincNumber LongCommonName PartNumber PartName PartCodeSystem PartTypeName LinkTypeName Property",
            ["1-8", "x", "LP1-1", "Stuff", "http://loinc.org", "COMPONENT", "Primary", "p"],
            ["1-8", "x", "LP6960-1", "Pt", "http://loinc.org", "TIME", "Primary", "p"],
        )
        files["AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv"] = quoted(
            "PATH_TO_ROOT SEQUENCE IMMEDIATE_PARENT CODE CODE_TEXT",
            ["LP7-7", "1", "LP7-7", "LP1-1", "Stuff"],
            ["", "1", "", "LP7-7", "Everything"],
            ["LP7-7.LP1-1", "1", "LP1-1", "1-8", "Stuff"],
        )
    return files


def rrf(*rows: Sequence[str]) -> str:
    return "".join("|".join(row) + "|\n" for row in rows)


def _named(code: str, source: str, kind: str, text: str, hidden: str = "N") -> list[str]:
    return [code, "ENG", "", "", "", "", "", f"A{code}", "", "", "", source, kind, code, text, "", hidden, "4096"]


def rxnorm(relation: str = "1") -> dict[str, str]:
    """An RxNorm release by member name; ``relation`` is what 2 has as an ingredient."""

    def related(to: str, source: str, name: str, by: str = "RXNORM") -> list[str]:
        return [to, "", "CUI", "RO", source, "", "CUI", name, "r", "", by, "", "", "", "N", ""]

    return {
        "rrf/RXNCONSO.RRF": rrf(
            _named("2", "RXNORM", "SY", "Stuff ten"),
            _named("2", "RXNORM", "SCD", "stuff 10 MG Oral Tablet"),
            _named("2", "MMSL", "CD", "Licensed words"),
            _named("1", "RXNORM", "IN", "stuff"),
            _named("3", "RXNORM", "SCDF", "stuff Oral Tablet"),
            _named("4", "RXNORM", "BN", "Gone", "O"),
            _named("5", "MMSL", "CD", "Licensed alone"),
        ),
        "rrf/RXNREL.RRF": rrf(
            related(relation, "2", "has_ingredient"),
            related("2", "1", "ingredient_of"),
            related("3", "2", "isa"),
            related("2", "3", "inverse_isa"),
            related("5", "2", "has_thing", "MMSL"),
        ),
        "rrf/RXNSAT.RRF": rrf(
            ["2", "", "", "A2", "AUI", "2", "", "", "NDC", "RXNORM", "00001000101", "N", ""],
            ["2", "", "", "A2", "AUI", "2", "", "", "PRICE", "MMSL", "9", "N", ""],
        ),
        "rrf/RXNSTY.RRF": rrf(["2", "T200", "A1.3", "Clinical Drug", "", ""], ["9", "T200", "A1.3", "x", "", ""]),
    }


def hcpcs_line(code: str, record: str, text: str, short: str = "", terminated: str = "", sequence: int = 1) -> str:
    line = f"{code:>5}{sequence * 100:05}{record}{text:<80}{short:<28}"
    line = line.ljust(256) + "D1F"
    return (line.ljust(268) + "19950101" + "20050101" + terminated).ljust(320)


def hcpcs(*more: str) -> bytes:
    """The text file of a HCPCS release."""
    lines = [
        hcpcs_line("A1", "7", "A modifier", "Modifier"),
        hcpcs_line("A5504", "3", "For shoes, modification of", "Shoe"),
        hcpcs_line("A5504", "4", "a caf\u00e9 shoe with wedges", sequence=2).rstrip(),
        hcpcs_line("Z9999", "3", "Gone", "Gone", "20101231"),
        *more,
        "",
        "***Disclaimers\t\t",
    ]
    return "\r\n".join(lines).encode("cp1252")

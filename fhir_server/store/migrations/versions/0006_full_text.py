"""Full text search and contained resources: the words of resources, and the functions that find them."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from html.entities import name2codepoint
from json import dumps

from alembic import op

from conformance.definitions import types
from fhir_server.store.full_text import LONGEST_WORD, MOST_CHARACTERS, SEPARATORS

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE full_text (
  tenant integer NOT NULL,
  key bigint NOT NULL,
  type smallint NOT NULL,
  version integer NOT NULL,
  narrative tsvector NOT NULL,
  content tsvector NOT NULL,
  PRIMARY KEY (tenant, key, type)
);
CREATE INDEX full_text_narrative ON full_text USING gin (narrative) WITH (gin_pending_list_limit = 256);
CREATE INDEX full_text_content ON full_text USING gin (content) WITH (gin_pending_list_limit = 256);
CREATE TABLE contained (
  tenant integer NOT NULL,
  type smallint NOT NULL,
  key bigint NOT NULL,
  reference_hash bigint NOT NULL,
  last_updated timestamptz NOT NULL,
  version integer NOT NULL,
  method char(1) NOT NULL,
  id text COLLATE "C" NOT NULL,
  tokens bigint[] NOT NULL,
  content bytea,
  container_type smallint NOT NULL,
  container_key bigint NOT NULL,
  container_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, type, key)
);
CREATE INDEX contained_container ON contained (tenant, container_key, container_type);
CREATE INDEX contained_last_updated ON contained (tenant, type, last_updated, key);
CREATE INDEX contained_tokens ON contained USING gin (tokens) WITH (gin_pending_list_limit = 256);
CREATE TABLE full_text_progress (
  tenant integer NOT NULL,
  type smallint NOT NULL,
  indexed_until timestamptz NOT NULL,
  PRIMARY KEY (tenant, type)
);
"""

# Elements that hold no words whatever resource or data type they are in. ``reference`` and ``data`` are strings in some.
_WORDLESS = frozenset(("base64Binary", "canonical", "id", "instant", "oid", "uri", "url", "uuid"))
_ADDRESSES = frozenset(("resourceType", "id", "reference", "data", "versionId", "lastUpdated"))

FUNCTIONS = r"""
-- A text without case and accents; the same as search makes of strings.
CREATE FUNCTION full_text_fold(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF octet_length(given) > length(given) THEN
    given := regexp_replace(normalize(given, NFKD) COLLATE "C", '[%(marks)s]+', '', 'g');
    given := replace(replace(given, 'ß', 'ss'), 'ẞ', 'ss');
    IF given ~ '[%(upper_class)s]' THEN
      given := translate(given, '%(upper)s', '%(lower)s');
    END IF;
  END IF;
  RETURN lower(given COLLATE "C");
END $$;

-- The words of texts with their places. Between two texts one place is left out, so that no phrase spans them: there stands
-- a capital, which no folded text has.
CREATE FUNCTION full_text_words(given text[]) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  folded text := full_text_fold(left(array_to_string(given, chr(2)), %(most)s));
BEGIN
  folded := regexp_replace(replace(folded, chr(2), ' A ') COLLATE "C", '[%(separators)s]+', ' ', 'g');
  RETURN COALESCE((
    SELECT string_agg(quote_literal(word) || ':' || least(place, 16383), ' ')
    FROM string_to_table(folded, ' ') WITH ORDINALITY AS w(word, place)
    WHERE word NOT IN ('', 'A') AND length(word) <= %(longest)s), '')::tsvector;
END $$;

-- XHTML as plain text: tags part words, character references stand for their characters.
CREATE FUNCTION full_text_plain(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  given := regexp_replace(regexp_replace(given, '<!--.*?-->', ' ', 'g'), '<[^>]*>', ' ', 'g');
  IF strpos(given, '&') = 0 THEN
    RETURN given;
  END IF;
  RETURN (
    SELECT string_agg(CASE
        WHEN part !~ '^&[^;]*;$' THEN part
        WHEN part ~* '^&#x[0-9a-f]{1,6};$' THEN
          full_text_character(('x' || lpad(substr(part, 4, length(part) - 4), 8, '0'))::bit(32)::integer)
        WHEN part ~ '^&#[0-9]{1,7};$' THEN full_text_character(substr(part, 3, length(part) - 3)::integer)
        ELSE COALESCE(full_text_character(('%(entities)s'::jsonb ->> substr(part, 2, length(part) - 2))::integer), ' ')
      END, '' ORDER BY place)
    FROM string_to_table(regexp_replace(given, '(&[#0-9A-Za-z]{1,32};)', chr(1) || '\1' || chr(1), 'g'), chr(1))
      WITH ORDINALITY AS p(part, place));
END $$;
CREATE FUNCTION full_text_character(given integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN given BETWEEN 1 AND 55295 OR given BETWEEN 57344 AND 1114111 THEN chr(given) ELSE ' ' END
$$;

-- Stored resources hold no NUL; json would refuse to show one.
CREATE FUNCTION full_text_json(content bytea) RETURNS json LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  given text := convert_from(content, 'UTF8');
BEGIN
  IF strpos(given, '\u0000') > 0 THEN
    given := replace(replace(given, '\\', ' '), '\u0000', ' ');
  END IF;
  RETURN given::json;
END $$;

-- Connections for searches plan anew each time; that would cost more here than the work itself.
CREATE FUNCTION full_text_narrative(content bytea) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  narrative text := full_text_json(content) #>> '{text,div}';
BEGIN
  RETURN CASE WHEN narrative IS NULL THEN ''::tsvector ELSE full_text_words(ARRAY[full_text_plain(narrative)]) END;
END $$;

CREATE FUNCTION full_text_content(content bytea) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
  SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN full_text_words((
    WITH RECURSIVE element(name, value) AS (
      SELECT '', full_text_json(content)
      UNION ALL
      SELECT child.name, child.value FROM element AS e CROSS JOIN LATERAL (
        SELECT o.key AS name, o.value FROM json_each(CASE json_typeof(e.value) WHEN 'object' THEN e.value END) AS o
        UNION ALL
        SELECT e.name, a.value
        FROM json_array_elements(CASE json_typeof(e.value) WHEN 'array' THEN e.value END) AS a(value)
      ) AS child
      WHERE child.name <> ALL ('{%(wordless)s}'::text[]) AND json_typeof(child.value) IN ('object', 'array', 'string'))
    SELECT COALESCE(array_agg(CASE name WHEN 'div' THEN full_text_plain(value #>> '{}') ELSE value #>> '{}' END), '{}')
    FROM element
    WHERE json_typeof(value) = 'string' AND value #>> '{}' !~* '^(https?|ftp|file|ldap|urn):\S*$'));
END $$;
"""


def _folded() -> dict[str, str]:
    """Return what folding makes of characters beyond ASCII that decomposition leaves as they are, if it changes them."""
    found: dict[str, str] = {}
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        if character.isprintable() and unicodedata.is_normalized("NFKD", character):
            parts = unicodedata.normalize("NFKD", character.casefold())
            folded = "".join(part for part in parts if not unicodedata.combining(part))
            if folded != character:
                found[character] = folded
    return found


def _class(characters: Iterable[str]) -> str:
    """Return the inside of a character class."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _wordless() -> list[str]:
    kinds: dict[str, set[str]] = {}
    for type_ in types().values():
        for element in type_.elements.values():
            for name, kind in element.json_names:
                kinds.setdefault(name, set()).add(kind)
    return sorted({name for name, found in kinds.items() if found <= _WORDLESS} | _ADDRESSES)


def _functions() -> str:
    folded = _folded()
    changed = {character: letter for character, letter in folded.items() if len(letter) == 1}
    return FUNCTIONS % {
        "marks": _class(character for character, letters in folded.items() if not letters),
        "upper_class": _class(changed),
        "upper": "".join(changed),
        "lower": "".join(changed.values()),
        "separators": SEPARATORS,
        "most": MOST_CHARACTERS,
        "longest": LONGEST_WORD,
        "entities": dumps({**name2codepoint, "apos": 39}),
        "wordless": ",".join(_wordless()),
    }


def upgrade() -> None:
    """Create them. What is stored already is found from the start and indexed in the background."""
    op.execute(TABLES)
    op.get_bind().exec_driver_sql(_functions())


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE full_text, full_text_progress, contained")
    op.execute(
        "DROP FUNCTION full_text_content, full_text_narrative, full_text_json, full_text_plain, full_text_character, "
        "full_text_words, full_text_fold"
    )

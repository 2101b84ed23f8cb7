"""``Encounter/$suggest-codes``: ICD-10-CM codes for a note, with the words that support each."""

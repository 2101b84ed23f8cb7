"""HL7 version 2 feeds, https://www.hl7.org/implement/standards/product_brief.cfm?product_id=185."""

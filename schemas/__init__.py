"""The published format of an artifact: `artifact-v1.schema.json` is normative, `README.md` says what it means."""

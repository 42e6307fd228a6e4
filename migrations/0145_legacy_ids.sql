-- Which row of the platform that Cairn replaces became which row here. `cairn import-legacy` writes one row for each that it has
-- mapped, in the transaction that maps it. So it can be run again: what is named here is not mapped a second time, even if
-- somebody has changed or deleted it since, and what is not is mapped now.
--
-- `kind` is a table of the old database, and `id` is the row here: of rows that have no id of their own, such as a like, the
-- person's. There is no foreign key, because the rows are in many tables and may be deleted: a deleted one must not come back.
CREATE TABLE legacy_ids (
    kind text NOT NULL CONSTRAINT legacy_ids_kind_length CHECK (length(kind) BETWEEN 1 AND 100),
    legacy_id text NOT NULL CONSTRAINT legacy_ids_legacy_id_length CHECK (length(legacy_id) BETWEEN 1 AND 300),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT legacy_ids_pkey PRIMARY KEY (kind, legacy_id)
);

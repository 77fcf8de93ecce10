//! The catalog's tables. What they hold is derived by [`super::writer`]; if that changes, the
//! version must too, since the writer works out what to remove by deriving it again.

use crate::engine::fold::Schema;

pub(crate) const SCHEMA: Schema = Schema {
    version: 3,
    tables: &[
        "CREATE TABLE entities (
            tenant UUID NOT NULL,
            reference TEXT NOT NULL,
            id UUID NOT NULL,
            uid UUID NOT NULL,
            kind_key TEXT NOT NULL,
            kind TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            title TEXT,
            description TEXT,
            spec_type TEXT,
            lifecycle TEXT,
            tags TEXT NOT NULL,
            location UUID,
            etag TEXT NOT NULL,
            revision BIGINT NOT NULL,
            sequence BIGINT NOT NULL,
            position BIGINT NOT NULL,
            registered_at BIGINT NOT NULL,
            changed_at BIGINT NOT NULL,
            changed_by UUID NOT NULL,
            document TEXT NOT NULL,
            PRIMARY KEY (tenant, reference)
        )",
        "CREATE UNIQUE INDEX entities_by_id ON entities (tenant, id)",
        "CREATE INDEX entities_by_location ON entities (tenant, location)
            WHERE location IS NOT NULL",
        // Descriptors as the log has them, personal data sealed.
        "CREATE TABLE versions (
            tenant UUID NOT NULL,
            id UUID NOT NULL,
            revision BIGINT NOT NULL,
            uid UUID,
            fate TEXT NOT NULL,
            descriptor TEXT,
            sequence BIGINT NOT NULL,
            position BIGINT NOT NULL,
            at BIGINT NOT NULL,
            actor UUID NOT NULL,
            PRIMARY KEY (tenant, id, revision)
        )",
        // The flattened documents. `known` is 0 for null and for what is too long to compare;
        // `leads` is 1 for the smallest value of a key, which the entity is sorted by.
        "CREATE TABLE search (
            tenant UUID NOT NULL,
            key TEXT NOT NULL,
            known BIGINT NOT NULL,
            value TEXT NOT NULL,
            reference TEXT NOT NULL,
            leads BIGINT NOT NULL,
            original TEXT,
            PRIMARY KEY (tenant, key, known, value, reference)
        ) /* clustered */",
        // Both directions of every edge, with the entity that states it.
        "CREATE TABLE relations (
            tenant UUID NOT NULL,
            source TEXT NOT NULL,
            kind_key TEXT NOT NULL,
            target TEXT NOT NULL,
            stated_by TEXT NOT NULL,
            kind TEXT NOT NULL,
            PRIMARY KEY (tenant, source, kind_key, target, stated_by)
        ) /* clustered */",
        "CREATE TABLE words (
            tenant UUID NOT NULL,
            word TEXT NOT NULL,
            reference TEXT NOT NULL,
            weight BIGINT NOT NULL,
            PRIMARY KEY (tenant, word, reference)
        ) /* clustered */",
        // Which entities show something about whom, so that it can be erased.
        "CREATE TABLE subjects (
            tenant UUID NOT NULL,
            reference TEXT NOT NULL,
            subject UUID NOT NULL,
            PRIMARY KEY (tenant, reference, subject)
        ) /* clustered */",
        "CREATE TABLE locations (
            tenant UUID NOT NULL,
            id UUID NOT NULL,
            kind TEXT NOT NULL,
            target TEXT NOT NULL,
            sequence BIGINT NOT NULL,
            registered_at BIGINT NOT NULL,
            PRIMARY KEY (tenant, id)
        )",
    ],
    indexes: &[
        "CREATE INDEX IF NOT EXISTS entities_by_uid ON entities (tenant, uid)",
        "CREATE INDEX IF NOT EXISTS entities_by_kind ON entities (tenant, kind_key, reference)",
        "CREATE INDEX IF NOT EXISTS entities_by_change ON entities (tenant, sequence, reference)",
        "CREATE INDEX IF NOT EXISTS relations_by_target ON relations (tenant, kind_key, target, source)",
        "CREATE INDEX IF NOT EXISTS subjects_by_subject ON subjects (tenant, subject)",
    ],
};

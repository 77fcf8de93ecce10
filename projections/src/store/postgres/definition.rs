//! How the portable text that makes a table is said to PostgreSQL, and who may see its rows.

use super::Session;

/// The setting that says for whom a transaction reads.
pub(super) const TENANT: &str = "callboard.tenant";

/// What a table's rows are shown by.
const TENANT_COLUMN: &str = "tenant UUID";

/// What marks a table whose rows tenants do not see, although they are about them.
const OPERATORS: &str = "/* operators */";

impl Session {
    /// The statements that make what `text` makes.
    pub(in crate::store) fn definition(&self, text: &str) -> Vec<String> {
        definition(text, self.reader_role())
    }
}

fn definition(text: &str, reader: &str) -> Vec<String> {
    let Some(table) = text.strip_prefix("CREATE TABLE ") else { return vec![text.to_owned()] };
    let table = table.trim_start_matches("IF NOT EXISTS ");
    let table = table.split_whitespace().next().unwrap_or_default();
    // Texts sort by their bytes, so that pages and cursors are the same on every database.
    let made = text.replace("/* clustered */", "").replace(OPERATORS, "");
    let mut all = vec![made.replace(" TEXT", " TEXT COLLATE \"C\"")];
    if text.contains(TENANT_COLUMN) {
        // A setting that was never made is null, one whose transaction is over is empty.
        let own = format!("nullif(current_setting('{TENANT}', true), '')::uuid");
        let seen = match text.contains(OPERATORS) {
            true => format!("{own} = '00000000-0000-0000-0000-000000000000'"),
            false => format!("tenant = {own}"),
        };
        all.extend([
            format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
            format!(
                "CREATE POLICY writer ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)"
            ),
            format!("CREATE POLICY reader ON {table} FOR SELECT TO {reader} USING ({seen})"),
            format!("GRANT SELECT ON {table} TO {reader}"),
        ]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_with_a_tenant_are_shown_to_readers() {
        let check = |text: &str, count: usize, with: &str| {
            let all = definition(text, "somebody");
            assert_eq!(all.len(), count, "{all:#?}");
            assert!(all.join("\n").contains(with), "{all:#?}");
        };
        check("CREATE INDEX i ON t (tenant)", 1, "CREATE INDEX i ON t (tenant)");
        check("CREATE TABLE t (a TEXT NOT NULL)", 1, "a TEXT COLLATE \"C\" NOT NULL");
        let own = "USING (tenant = nullif(";
        check("CREATE TABLE t (tenant UUID NOT NULL) /* clustered */", 6, own);
        let operators = "CREATE TABLE t (tenant UUID) /* operators */";
        check(operators, 6, "::uuid = '00000000-0000-0000-0000-000000000000')");
    }
}

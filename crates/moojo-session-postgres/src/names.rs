//! The names that the store has in the database.

/// A schema, and what is named after it.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    schema: String,
}

impl Names {
    /// So that the name of the channel fits into PostgreSQL's 63 bytes.
    pub(crate) const MAX_BYTES: usize = 40;

    /// Only names that need no escaping, wherever they stand.
    pub(crate) fn new(schema: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let fits = (1..=Self::MAX_BYTES).contains(&schema.len()) && schema.chars().all(plain);
        // PostgreSQL keeps that prefix to itself.
        (fits && !schema.starts_with("pg_")).then(|| Self { schema: schema.to_owned() })
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The channel on which changes of sessions are told. It is the database's, so the schema is in
    /// its name.
    pub(crate) fn channel(&self) -> String {
        format!("{}_session_changes", self.schema)
    }

    /// A statement with the names in their places.
    pub(crate) fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", &format!("\"{}\"", self.schema))
            .replace("{channel}", &format!("'{}'", self.channel()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        let longest = "x".repeat(Names::MAX_BYTES);
        for good in ["moojo", "Tenant-7", "_x", "0", longest.as_str()] {
            let names = Names::new(good).unwrap();
            assert!(names.channel().len() < 64);
        }
        let too_long = "x".repeat(Names::MAX_BYTES + 1);
        for bad in ["", "a\"b", "a'b", "a.b", "a b", "é", "a{schema}", "pg_temp", too_long.as_str()]
        {
            assert!(Names::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_are_filled_in() {
        let names = Names::new("Tenant-7").unwrap();
        let filled = names.fill("select pg_notify({channel}, $1) from {schema}.sessions");
        assert_eq!(
            filled,
            "select pg_notify('Tenant-7_session_changes', $1) from \"Tenant-7\".sessions"
        );
    }
}

//! Functions.

use cairn_testing::database::{TestDb, rows};

/// A restore, logical replication and, since Postgres 17, maintenance run without a search path.
#[tokio::test]
async fn every_function_finds_its_tables_without_a_search_path() {
    let test = TestDb::new().await;
    let lost: Vec<(String,)> = rows(
        test.pool(),
        "SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE pronamespace = 'public'::regnamespace AND prosqlbody IS NULL
           AND NOT EXISTS (SELECT FROM unnest(proconfig) setting WHERE setting LIKE 'search_path=public, %')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
    )
    .await;
    let advice =
        "give a function in SQL a body (BEGIN ATOMIC ... END), and one in PL/pgSQL SET search_path = public, pg_temp";
    assert!(lost.is_empty(), "{lost:?}: {advice}");
}

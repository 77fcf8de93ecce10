//! Multi-row `VALUES` of a few fixed sizes is what is fastest on SQLite: the statements stay
//! prepared, and nothing has to be parsed as JSON.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqlSafeStr, SqliteConnection};

use super::Rows;
use crate::store::sql::add;
use crate::store::{Row, StoreError, Value};

/// The most values one statement binds: 4,096, far below every database's limit; beyond it
/// larger statements gain nothing.
const VALUES_MAX: usize = 4_096;

/// The most keys one statement asks for: 128, below the depth that SQLite allows.
const ALTERNATIVES_MAX: usize = 128;

/// A text and what it binds.
type Statement = (String, SqliteArguments);

pub(super) async fn insert<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    connection: &mut SqliteConnection,
    insert: &str,
    after: &str,
) -> Result<(), StoreError> {
    // Whoever asked undoes what a statement that fails has done so far, with its transaction or
    // to the last savepoint. Saying so spares SQLite a journal of every statement.
    let insert = insert.replacen("INSERT INTO", "INSERT OR FAIL INTO", 1);
    let mut left = rows.sorted();
    while let Some(rows) = size(left.len().min((VALUES_MAX / WIDTH).max(1))) {
        let rows: Vec<_> = left.by_ref().take(rows).collect();
        execute(statement(&insert, rows, after), connection).await?;
    }
    Ok(())
}

pub(super) async fn delete<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    connection: &mut SqliteConnection,
    table: &str,
    condition: &str,
) -> Result<(), StoreError> {
    let text = |rows| format!("DELETE FROM {table} WHERE {}", alternatives(rows, condition));
    for statement in statements(rows, text) {
        execute(statement, connection).await?;
    }
    Ok(())
}

pub(super) async fn fetch<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    connection: &mut SqliteConnection,
    select: &str,
    condition: &str,
) -> Result<Vec<Row>, StoreError> {
    let text = |rows| format!("{select} WHERE {}", alternatives(rows, condition));
    let mut found = Vec::new();
    for (text, arguments) in statements(rows, text) {
        let text = AssertSqlSafe(text).into_sql_str();
        let rows = sqlx::query_with(text, arguments).fetch_all(&mut *connection).await?;
        found.extend(rows.into_iter().map(Row::of_sqlite));
    }
    Ok(found)
}

async fn execute(
    (text, arguments): Statement,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let text = AssertSqlSafe(text).into_sql_str();
    sqlx::query_with(text, arguments).execute(connection).await?;
    Ok(())
}

/// The statements for all rows, each for some of them.
fn statements<const WIDTH: usize>(
    rows: Rows<WIDTH>,
    text: impl Fn(usize) -> String,
) -> impl Iterator<Item = Statement> {
    let mut left = rows.sorted();
    std::iter::from_fn(move || {
        let rows = size(left.len().min(ALTERNATIVES_MAX))?;
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows * WIDTH, 0);
        left.by_ref().take(rows).flatten().for_each(|it| add(&mut arguments, it));
        Some((text(rows), arguments))
    })
}

/// The statement that inserts `rows`. An id that they all begin with is bound once.
fn statement<const WIDTH: usize>(
    insert: &str,
    rows: Vec<[Value; WIDTH]>,
    after: &str,
) -> Statement {
    // They are sorted, so if the ends have it in common, all have.
    let common = match (rows.first().map(|it| &it[0]), rows.last().map(|it| &it[0])) {
        (Some(Value::Id(first)), Some(Value::Id(last))) if first == last => Some(*first),
        _ => None,
    };
    let values = match common {
        Some(_) => placeholders_after(rows.len(), WIDTH),
        None => placeholders(rows.len(), WIDTH),
    };
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * WIDTH, 0);
    let skipped = usize::from(common.is_some());
    let own = rows.into_iter().flat_map(|it| it.into_iter().skip(skipped));
    own.for_each(|it| add(&mut arguments, it));
    if let Some(common) = common {
        add(&mut arguments, common.into());
    }
    (format!("{insert} {values} {after}"), arguments)
}

/// The largest power of two in `rows`, so that few different statements are ever prepared.
fn size(rows: usize) -> Option<usize> {
    (rows > 0).then(|| 1 << rows.ilog2())
}

/// `VALUES (?,?),(?,?)…`: unlike elsewhere not `$1`, since SQLite takes those for names, and
/// looks through all names of a statement for each that is bound.
fn placeholders(rows: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    format!("VALUES {}", vec![row; rows].join(","))
}

/// `VALUES ($6,?,?),($6,?,?)…`, where `$6` is bound last: a single name is quickly found.
fn placeholders_after(rows: usize, width: usize) -> String {
    let last = rows * (width - 1) + 1;
    let row = format!("(${last}{})", ",?".repeat(width - 1));
    format!("VALUES {}", vec![row; rows].join(","))
}

/// `(a = ? AND b = ?) OR (a = ? AND b = ?)…`: the one way to ask for many keys that makes SQLite
/// look up each of them whole; a list of row values makes it scan.
pub(super) fn alternatives(rows: usize, row: &str) -> String {
    vec![row; rows].join(" OR ")
}

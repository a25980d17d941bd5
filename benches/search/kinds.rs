//! The kinds of searches, and the statements that they took the place of.

use std::path::Path;

use optag::index::{Index, Position, Query, Wanted};
use optag_core::call::verdict::VerdictWanted;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use sqlx::any::{AnyArguments, AnyPoolOptions};
use sqlx::{Any, AnyPool, AssertSqlSafe, Row};

use crate::corpus;

/// Rows of a page.
const PAGE: u32 = 50;

/// One kind of search. Each round asks for something else.
pub(crate) struct Kind {
    pub name: &'static str,
    of: fn(u64) -> Query,
    /// By candidates, as for a caller's words.
    told: bool,
    /// Where its page begins: this share of the time. Units: %.
    deep: Option<i64>,
    rows: u64,
}

fn text(text: impl Into<String>) -> Option<Private<String>> {
    Some(Private::new(text.into()))
}

/// Recording to ask for in a round: somewhere in the list.
fn some(round: u64) -> u64 {
    round * 20_011 + 777
}

fn last(name: &str) -> &str {
    name.rsplit(' ').next().unwrap_or_default()
}

/// A name with two letters next to each other swapped.
fn misspelt(name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = letters.len() - 4;
    letters.swap(at, at + 1);
    letters.into_iter().collect()
}

fn days(round: u64, days: i64) -> (Option<WallTime>, Option<WallTime>) {
    let from = WallTime::from_unix_micros(corpus::FIRST_US).plus_days((round * 7 % 80) as i64);
    (Some(from), Some(from.plus_days(days)))
}

fn number(number: impl Into<String>) -> Query {
    Query { number: text(number), ..Query::default() }
}

fn name(name: impl Into<String>) -> Query {
    Query { name: text(name), ..Query::default() }
}

fn in_days(query: Query, round: u64, most: i64) -> Query {
    let (from, to) = days(round, most);
    Query { from, to, ..query }
}

fn of_department(query: Query, round: u64) -> Query {
    Query { department: Some(corpus::department(some(round))), ..query }
}

pub(crate) fn all(rows: u64) -> Vec<Kind> {
    const COMMON: [&str; 4] = ["jensen", "hansen", "kristensen", "moeller"];
    let kind = |name, of: fn(u64) -> Query| Kind { name, of, told: false, deep: None, rows };
    vec![
        kind("number, whole", |n| number(corpus::caller(some(n)))),
        kind("number, last five digits", |n| number(&corpus::caller(some(n))[3..])),
        kind("number, either party", |n| number(corpus::called(some(n)))),
        kind("name, whole", |n| name(corpus::name(some(n)))),
        kind("name, whole, common", |n| name(format!("mette {}", COMMON[n as usize % 4]))),
        kind("name, part, common", |n| name(COMMON[n as usize % 4])),
        kind("name, part, every second", |_| name("sen")),
        kind("name, part, rare", |n| name(last(&corpus::name(some(n)))[1..].to_owned())),
        kind("name, part, none has it", |n| name(["qqq", "xsen", "sen jens"][n as usize % 3])),
        kind("name, two letters", |n| name(["bo", "li", "wy"][n as usize % 3])),
        Kind { told: true, ..kind("name, misspelt, rare", |n| name(misspelt(&corpus::name(some(n))))) },
        Kind { told: true, ..kind("name, misspelt, common", |n| name(misspelt(COMMON[n as usize % 4]))) },
        kind("everything", |_| Query::default()),
        kind("department", |n| of_department(Query::default(), n)),
        kind("window of a day", |n| in_days(Query::default(), n, 1)),
        kind("department and window", |n| of_department(in_days(Query::default(), n, 1), n)),
        kind("name and department", |n| of_department(name(COMMON[n as usize % 4]), n)),
        kind("name and a week", |n| in_days(name(COMMON[n as usize % 4]), n, 7)),
        kind("name, department and a week", |n| of_department(in_days(name("sen"), n, 7), n)),
        kind("name and caller's number", |n| Query {
            name: text(last(&corpus::name(some(n)))),
            ..number(corpus::caller(some(n)))
        }),
        kind("name and called number", |n| Query {
            name: text(COMMON[n as usize % 4]),
            ..number("70101010")
        }),
        kind("called number and department", |n| of_department(number("70202020"), n)),
        kind("a stream's fault", |_| Query { verdict: Some(VerdictWanted::AnyFault), ..Query::default() }),
        Kind { deep: Some(30), ..kind("deep in: everything", |_| Query::default()) },
        Kind { deep: Some(30), ..kind("deep in: department", |n| of_department(Query::default(), n)) },
        Kind { deep: Some(30), ..kind("deep in: called number", |n| number(corpus::called(some(n)))) },
        Kind { deep: Some(30), ..kind("deep in: name", |n| name(COMMON[n as usize % 4])) },
        Kind {
            deep: Some(30),
            ..kind("deep in: name and department", |n| of_department(name(COMMON[n as usize % 4]), n))
        },
        Kind {
            deep: Some(30),
            ..kind("deep in: a stream's fault", |_| Query {
                verdict: Some(VerdictWanted::AnyFault),
                ..Query::default()
            })
        },
    ]
}

impl Kind {
    fn query(&self, round: usize) -> Query {
        let after = self.deep.map(|percent| Position {
            started_at: WallTime::from_unix_micros(corpus::FIRST_US + corpus::SPAN_US / 100 * percent),
            id: CallId::from_bytes([0; 16]),
        });
        Query { after, most: PAGE, ..(self.of)(round as u64 % (self.rows / 20_011).max(1)) }
    }

    /// Searches; how many were found.
    pub(crate) async fn search(&self, index: &Index, round: usize) -> anyhow::Result<u64> {
        let query = self.query(round);
        if self.told {
            let wanted =
                Wanted { name: query.name, department: query.department, most: 20, ..Wanted::default() };
            return Ok(index.candidates(&wanted).await?.total);
        }
        let found = index.search(&query).await?;
        anyhow::ensure!(found.rows.len() as u64 <= found.total || found.more, "more rows than there are");
        Ok(found.total)
    }
}

/// The statements of before.
pub(crate) struct Before {
    pool: AnyPool,
    is_postgres: bool,
}

impl Before {
    pub(crate) async fn sqlite(file: &Path) -> anyhow::Result<Self> {
        let pool =
            AnyPoolOptions::new().max_connections(1).connect(&format!("sqlite://{}", file.display())).await?;
        Ok(Self { pool, is_postgres: false })
    }

    pub(crate) async fn postgres(address: &str) -> anyhow::Result<Self> {
        let pool = AnyPoolOptions::new().max_connections(1).connect(address).await?;
        Ok(Self { pool, is_postgres: true })
    }

    /// Searches as before, where that was another way: SQLite looked at each name; pages deep in were counted down
    /// to by OFFSET. Whether it was.
    pub(crate) async fn search(&self, kind: &Kind, round: usize) -> anyhow::Result<bool> {
        let query = kind.query(round);
        let name = query.name.as_ref().map(|name| name.reveal().clone());
        if kind.told
            || !(kind.deep.is_some() || name.is_some() && query.number.is_none() && !self.is_postgres)
        {
            return Ok(false);
        }
        let mut holds = String::from("erased_at_us IS NULL");
        if let Some(name) = name {
            holds += &format!(" AND caller_name_folded LIKE '%{name}%'");
        }
        if let Some(department) = &query.department {
            holds += &format!(" AND department = '{department}'");
        }
        if let Some(number) = &query.number {
            let end = if self.is_postgres {
                "right(called_number_norm, 4)"
            } else {
                "substr(called_number_norm, -4)"
            };
            let number = number.reveal();
            holds += &format!(" AND {end} = '{}' AND called_number_norm LIKE '%{number}'", &number[4..]);
        }
        if query.verdict.is_some() {
            holds += " AND has_fault = 1";
        }
        if let (Some(from), Some(to)) = (query.from, query.to) {
            holds += &format!(
                " AND started_at_us >= {} AND started_at_us < {}",
                from.as_unix_micros(),
                to.as_unix_micros()
            );
        }
        let skip = match query.after {
            None => 0,
            Some(after) => {
                let newer = format!(
                    "SELECT COUNT(*) AS total FROM recordings WHERE {holds} AND started_at_us >= {}",
                    after.started_at.as_unix_micros()
                );
                self.one(&newer).await?
            }
        };
        if query.after.is_none() {
            self.one(&format!("SELECT COUNT(*) AS total FROM recordings WHERE {holds}")).await?;
        }
        let page = format!(
            "SELECT * FROM recordings WHERE {holds} ORDER BY started_at_us DESC, id DESC LIMIT {PAGE} OFFSET {skip}"
        );
        sqlx::query(AssertSqlSafe(page)).fetch_all(&self.pool).await?;
        Ok(true)
    }

    async fn one(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await?.try_get("total")?)
    }

    /// Prints the plans of statements.
    pub(crate) async fn explain(&self, statements: Vec<String>) -> anyhow::Result<()> {
        for sql in statements {
            if self.is_postgres {
                println!("  {sql}");
                continue;
            }
            let explain = sqlx::query::<Any>(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let plan = bind_nothing(explain, &sql).fetch_all(&self.pool).await?;
            let plan: Vec<String> = plan.iter().filter_map(|row| row.try_get("detail").ok()).collect();
            println!("  {}", plan.join("; "));
        }
        Ok(())
    }
}

/// As many values as a statement has places for them.
fn bind_nothing<'q>(
    query: sqlx::query::Query<'q, Any, AnyArguments>,
    sql: &str,
) -> sqlx::query::Query<'q, Any, AnyArguments> {
    let most = (1..200).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
    (0..most).fold(query, |query, _| query.bind(None::<String>))
}

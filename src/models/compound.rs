//! One statement made of steps of several tables: one round trip, and a transaction by itself.

use std::fmt::Write as _;

use sea_orm::{Statement, Value};

use super::statement;

/// Named parts of a statement (`name as (..), name as (..)`) with their values, numbered from 1.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub sql: String,
    pub values: Vec<Value>,
}

impl Step {
    pub(crate) fn new(sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        Self {
            sql: sql.into(),
            values: values.into_iter().collect(),
        }
    }
}

/// Steps that are executed together. A later one may name what an earlier one gives; none sees rows
/// that another one writes.
#[derive(Debug, Default)]
pub(crate) struct Compound {
    sql: String,
    values: Vec<Value>,
}

impl Compound {
    pub(crate) fn step(mut self, step: Step) -> Self {
        self.sql
            .push_str(if self.sql.is_empty() { "with " } else { ", " });
        self.append(&step.sql);
        self.values.extend(step.values);
        self
    }

    /// Ends the statement with what it gives; `sql` has no values of its own.
    pub(crate) fn select(mut self, sql: &str) -> Statement {
        self.sql.push_str(" select ");
        self.sql.push_str(sql);
        statement(&self.sql, self.values)
    }

    /// Appends a text with its parameters numbered on from those that are there.
    fn append(&mut self, sql: &str) {
        let mut parts = sql.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            match number.parse::<usize>() {
                Ok(number) => {
                    let number = number.saturating_add(self.values.len());
                    // Writing to a text cannot fail.
                    let _ = write!(self.sql, "${number}{rest}");
                }
                Err(_) => {
                    let _ = write!(self.sql, "${part}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_on() {
        let made = Compound::default()
            .step(Step::new("a as (select $1, $2)", [1.into(), 2.into()]))
            .step(Step::new(
                "b as (select $2::text, $1 from a)",
                [3.into(), 4.into()],
            ))
            .select("* from a, b");
        assert_eq!(
            made.sql,
            "with a as (select $1, $2), b as (select $4::text, $3 from a) select * from a, b"
        );
        assert_eq!(
            made.values.unwrap().0,
            [1.into(), 2.into(), 3.into(), 4.into()]
        );
    }
}

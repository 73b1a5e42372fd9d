//! Budgets out of files and flags.

use super::keys::BUDGETS;
use super::layers::{Layers, in_document};
use super::node::{Node, Value, Wrong};
use super::source::{Setting, Source};
use super::values::scalar;
use crate::error::Error;
use cargo_beyla_core::analysis::budget::definition::Budget;
use cargo_beyla_core::analysis::budget::parse::{self, parse};

const FLAG: &str = "--budget";

/// The budgets of the first file that has any, of each package where several are tested, and of the flags: what
/// one asks for on the command line does not do away with what the project demands.
pub(super) fn budgets(flags: &[String], layers: &Layers<'_>) -> Result<Vec<Setting<Budget>>, Error> {
    let mut configured: Vec<_> = layers.get(&BUDGETS, in_file)?.into_iter().collect();
    for document in &layers.several {
        configured.extend(in_document(document, &BUDGETS, in_file)?);
    }
    let configured = configured.into_iter().flat_map(|Setting { value, source }| {
        value.into_iter().map(move |budget| Setting { value: budget, source: source.clone() })
    });
    let given = flags.iter().map(|text| {
        let value = parse(text).map_err(|wrong| Error::Config {
            place: format!("flag {FLAG}"),
            message: message(text, &wrong),
            hint: Some(parse::EXAMPLE.to_owned()),
        })?;
        Ok(Setting { value, source: Source::Flag(FLAG) })
    });
    configured.map(Ok).chain(given).collect()
}

/// A list of budgets, a table of budgets by name, or one budget.
fn in_file(node: &Node) -> Result<Vec<Budget>, Wrong> {
    match &node.value {
        Value::List(nodes) => nodes.iter().map(budget).collect(),
        Value::Map(entries) => {
            let named = |(name, node): (&String, &Node)| Ok(Budget { name: Some(name.clone()), ..budget(node)? });
            entries.iter().map(|entry| (&entry.key, &entry.node)).map(named).collect()
        }
        Value::Text(_) => Ok(vec![budget(node)?]),
        Value::Empty => Ok(Vec::new()),
    }
}

fn budget(node: &Node) -> Result<Budget, Wrong> {
    let text = scalar(node, "a budget such as 'GET /users/{id} p99 < 20ms'")?;
    let wrong =
        |wrong: &parse::Wrong| Wrong { hint: Some(parse::EXAMPLE.to_owned()), ..node.wrong(message(text, wrong)) };
    parse(text).map_err(|error| wrong(&error))
}

fn message(text: &str, wrong: &parse::Wrong) -> String {
    const QUOTED_MAX: usize = 100;
    let quoted: String = text.chars().take(QUOTED_MAX).collect();
    format!("the budget '{}' is not valid: {wrong}", quoted.escape_debug())
}

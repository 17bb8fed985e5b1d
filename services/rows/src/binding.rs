//! Columns that feed inputs.

use motet_config::{list_of, nearest};
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};
use crate::mistake::{Mistake, Mistakes};
use crate::port::{Element, Port};

/// Most dimensions of an input that rows can feed.
const RANK_MAX: usize = 2;

/// A row: its values by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Values by column.
    pub values: Map<String, Value>,
    /// Values are texts of cells (CSV), which are read as what the input takes.
    pub is_cells: bool,
}

/// The columns that feed the inputs of a pipeline.
///
/// ```
/// use motet_rows::{Binding, Port, Row};
/// use serde_json::json;
///
/// let port = |name: &str, kind: &str, required| Port {
///     name: name.to_owned(),
///     kind: kind.parse().unwrap(),
///     required,
/// };
/// let ports = [port("query", "string", true), port("top_n", "i32", false)];
/// let row = json!({ "question": "why", "lang": "en" });
/// let row = Row { values: row.as_object().unwrap().clone(), is_cells: false };
/// let map = [("query".to_owned(), "question".to_owned())];
/// let binding = Binding::new(&ports, &map, Some(std::slice::from_ref(&row))).unwrap();
/// assert_eq!(json!(binding.inputs(&row).unwrap()), json!({ "query": "why" }));
///
/// let map = [("query".to_owned(), "qestion".to_owned())];
/// let mistakes = Binding::new(&ports, &map, Some(&[row])).unwrap_err();
/// assert_eq!(
///     mistakes.to_string(),
///     "input `query`, column `qestion`: no such column; did you mean `question`?"
/// );
/// ```
#[derive(Debug, Clone)]
pub struct Binding {
    bound: Vec<Bound>,
}

#[derive(Debug, Clone)]
struct Bound {
    port: Port,
    /// A column, or a path of keys with dots between them, with or without `$.` before it.
    column: String,
}

impl Binding {
    /// Binds `ports`, by `map` (pairs of input and column) and else to the columns of their names.
    /// `sample` has some rows of the data, where some are known: a column that is in none of them,
    /// or whose values fit in none, is a mistake.
    ///
    /// # Errors
    /// All mistakes, in the order of the ports.
    pub fn new(
        ports: &[Port],
        map: &[(String, String)],
        sample: Option<&[Row]>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = unknown_inputs(ports, map);
        let mut bound = Vec::new();
        for port in ports {
            let mistake = |column: Option<&str>, reason: String| Mistake {
                input: port.name.clone(),
                column: column.map(str::to_owned),
                reason,
            };
            let columns: Vec<_> = map
                .iter()
                .filter(|(input, _)| *input == port.name)
                .collect();
            let column = match columns[..] {
                [] => &port.name,
                [(_, column)] => column,
                _ => {
                    let names: Vec<&str> = columns.iter().map(|(_, c)| c.as_str()).collect();
                    let reason = format!("it is mapped more than once, to {}", list_of(&names));
                    mistakes.push(mistake(None, reason));
                    continue;
                }
            };
            let candidate = Bound {
                port: port.clone(),
                column: column.clone(),
            };
            if let Some(rows) = sample {
                let is_there = rows.iter().any(|row| candidate.value(row).is_some());
                match (is_there, columns.is_empty()) {
                    (true, _) => {}
                    // An input that need not be there, and nobody asked for.
                    (false, true) if !port.required => continue,
                    (false, true) => {
                        mistakes.push(mistake(None, missing(port, rows)));
                        continue;
                    }
                    (false, false) => {
                        let hint = hint(column, &columns_of(rows));
                        mistakes.push(mistake(Some(column), format!("no such column; {hint}")));
                        continue;
                    }
                }
                if let Some(reason) = candidate.fits_no_row(rows) {
                    mistakes.push(mistake(Some(column), reason));
                    continue;
                }
            }
            if port.kind.rank > RANK_MAX {
                let reason = format!(
                    "{} has more than {RANK_MAX} dimensions: rows have values, lists, and lists of \
                     lists",
                    port.kind
                );
                mistakes.push(mistake(Some(column), reason));
                continue;
            }
            bound.push(candidate);
        }
        match mistakes.is_empty() {
            true => Ok(Self { bound }),
            false => Err(Mistakes(mistakes)),
        }
    }

    /// Returns the inputs of a row. A value that is null or absent is left out where the input
    /// need not be there.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every input that has no value or one of another type.
    pub fn inputs(&self, row: &Row) -> Result<Map<String, Value>, Failure> {
        let mut inputs = Map::new();
        let mut reasons = Vec::new();
        for bound in &self.bound {
            match bound.input(row) {
                Ok(Some(value)) => {
                    inputs.insert(bound.port.name.clone(), value);
                }
                Ok(None) => {}
                Err(reason) => reasons.push(format!(
                    "input `{}`, column `{}`: {reason}",
                    bound.port.name, bound.column
                )),
            }
        }
        match reasons.is_empty() {
            true => Ok(inputs),
            false => Err(Failure::new(Code::InvalidArgument, reasons.join("; "))),
        }
    }
}

impl Bound {
    /// Returns the value of the column: of that name, else by the path.
    fn value<'r>(&self, row: &'r Row) -> Option<&'r Value> {
        if let Some(value) = row.values.get(&self.column) {
            return Some(value);
        }
        let path = self.column.strip_prefix("$.").unwrap_or(&self.column);
        let mut keys = path.split('.');
        let mut value = row.values.get(keys.next()?)?;
        for key in keys {
            value = value.get(key)?;
        }
        Some(value)
    }

    fn input(&self, row: &Row) -> Result<Option<Value>, String> {
        let kind = &self.port.kind;
        let read = match self.value(row) {
            None | Some(Value::Null) if self.port.required => {
                return Err("the row has no value".to_owned());
            }
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(cell)) if row.is_cells => {
                let is_text = kind.element == Element::Text;
                match cell.is_empty() && !(is_text && self.port.required) {
                    true if self.port.required => return Err("the cell is empty".to_owned()),
                    true => return Ok(None),
                    false => kind.of_cell(cell),
                }
            }
            Some(value) => kind.of_json(value),
        };
        read.map(Some)
    }

    /// Returns the reason of the first row that has a value which does not fit, if none fits.
    fn fits_no_row(&self, rows: &[Row]) -> Option<String> {
        let mut first = None;
        for row in rows {
            match self.input(row) {
                Ok(Some(_)) => return None,
                Ok(None) => {}
                Err(reason) => {
                    first.get_or_insert(reason);
                }
            }
        }
        first
    }
}

fn unknown_inputs(ports: &[Port], map: &[(String, String)]) -> Vec<Mistake> {
    let inputs: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let unknown = map.iter().filter(|(i, _)| !inputs.contains(&i.as_str()));
    let mistake = |(input, column): &(String, String)| Mistake {
        input: input.clone(),
        column: Some(column.clone()),
        reason: format!("the pipeline has no such input; {}", hint(input, &inputs)),
    };
    unknown.map(mistake).collect()
}

fn missing(port: &Port, rows: &[Row]) -> String {
    format!(
        "no column feeds it, and it takes {} from each row: map a column to it; {}",
        port.kind,
        hint(&port.name, &columns_of(rows))
    )
}

/// Returns the columns of some rows, in the order in which they come.
pub fn columns_of(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| row.values.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// Returns what helps who wrote a name that is none of `names`: the nearest one, or all.
pub fn hint(name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", list_of(names)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn port(name: &str, kind: &str, required: bool) -> Port {
        Port {
            name: name.to_owned(),
            kind: kind.parse().unwrap(),
            required,
        }
    }

    fn rag() -> Vec<Port> {
        vec![
            port("query", "string", true),
            port("documents", "string[N]", true),
            port("top_n", "i32", false),
        ]
    }

    fn row(values: Value, is_cells: bool) -> Row {
        let values = values.as_object().unwrap().clone();
        Row { values, is_cells }
    }

    fn pairs(map: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = map.iter().map(|(i, c)| ((*i).to_owned(), (*c).to_owned()));
        pairs.collect()
    }

    #[test]
    fn columns_feed_inputs_by_map_by_name_or_by_path() {
        for (map, values, is_cells, expected) in [
            (
                &[][..],
                json!({ "query": "q", "documents": ["a"], "top_n": null }),
                false,
                Ok(json!({ "query": "q", "documents": ["a"] })),
            ),
            (
                &[("documents", "$.body.texts"), ("query", "body.q")],
                json!({ "body": { "q": "q", "texts": "a" } }),
                false,
                Ok(json!({ "query": "q", "documents": ["a"] })),
            ),
            (
                &[("query", "a.b")],
                json!({ "a.b": "q", "documents": [], "top_n": 2 }),
                false,
                Ok(json!({ "query": "q", "documents": [], "top_n": 2 })),
            ),
            (
                &[],
                json!({ "query": "", "documents": "[\"a\"]", "top_n": "" }),
                true,
                Ok(json!({ "query": "", "documents": ["a"] })),
            ),
            (
                &[],
                json!({ "query": 1, "documents": null, "top_n": "2" }),
                false,
                Err(
                    "input `query`, column `query`: is the number 1, where string is wanted; \
                     input `documents`, column `documents`: the row has no value; input `top_n`, \
                     column `top_n`: is the text \"2\", where i32 is wanted",
                ),
            ),
        ] {
            let binding = Binding::new(&rag(), &pairs(map), None).unwrap();
            let inputs = binding.inputs(&row(values, is_cells));
            let inputs = inputs.map(Value::Object).map_err(|failure| failure.message);
            assert_eq!(inputs, expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let map = pairs(&[("qury", "question"), ("documents", "pasages")]);
        let rows = [row(
            json!({ "question": "q", "passages": ["a"], "top_n": "many" }),
            false,
        )];
        let mistakes = Binding::new(&rag(), &map, Some(&rows)).unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "input `qury`, column `question`: the pipeline has no such input; did you mean \
             `query`?\n\
             input `query`: no column feeds it, and it takes string from each row: map a column \
             to it; there are: `passages`, `question` and `top_n`\n\
             input `documents`, column `pasages`: no such column; did you mean `passages`?\n\
             input `top_n`, column `top_n`: is the text \"many\", where i32 is wanted"
        );
        let twice = pairs(&[("query", "a"), ("query", "b")]);
        let mistakes = Binding::new(&rag()[..1], &twice, None).unwrap_err();
        let expected = "input `query`: it is mapped more than once, to `a` and `b`";
        assert_eq!(mistakes.to_string(), expected);
        let deep = [port("image", "float[N,3,W]", true)];
        let mistakes = Binding::new(&deep, &[], None).unwrap_err();
        assert!(mistakes.to_string().contains("more than 2 dimensions"));
    }

    proptest! {
        /// A column that is right in one row of those that were looked at is no mistake: the others
        /// are rows with errors.
        #[test]
        fn one_row_that_fits_is_enough(numbers in prop::collection::vec(any::<bool>(), 1..20)) {
            let value = |fits: &bool| match fits {
                true => json!({ "query": "text" }),
                false => json!({ "query": 7 }),
            };
            let rows: Vec<Row> = numbers.iter().map(|fits| row(value(fits), false)).collect();
            let bound = Binding::new(&rag()[..1], &[], Some(&rows));
            prop_assert_eq!(bound.is_ok(), numbers.contains(&true));
            if let Ok(binding) = bound {
                for (row, fits) in rows.iter().zip(&numbers) {
                    prop_assert_eq!(binding.inputs(row).is_ok(), *fits);
                }
            }
        }
    }
}

//! Flowise `csvFile`, version 3: tables, one document a row. Workbooks (.xlsx)
//! come to the same input, with their sheet's name as `worksheet`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::files::{Files, Problem, Source};
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use crate::error::NodeError;
use crate::extract::{self, Columns, Rows, is_blank};
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "csvFile",
    category: "Document Loaders",
    version: 3.0,
    about: "Tables (.csv, .xlsx) as documents, one a row.",
    params: &[
        Param::open("csvFile", Kind::File),
        Param::open("columnName", Kind::Text),
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let column = inputs.text("columnName").filter(|name| !name.trim().is_empty());
    let read = move |source: &Source<'_>| read(source, column.as_deref());
    loader(inputs, Files::of(inputs, &["csvFile"], Arc::new(read)))
}

/// A document for each row: all of its values, or that of one column.
pub(super) fn read(source: &Source<'_>, column: Option<&str>) -> Result<Vec<Document>, Problem> {
    source.refuse_old(".xls", ".xlsx or .csv")?;
    if source.bytes.starts_with(b"PK\x03\x04") || source.bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return read_workbook(source, column);
    }
    let text = extract::text(source.bytes)?;
    let mut rows = Rows::of(&text);
    let Some(table) = Table::of(rows.next(), column)? else { return Ok(Vec::new()) };
    source.lines(rows.filter_map(|row| Some((table.text(row)?, Map::new()))))
}

fn read_workbook(source: &Source<'_>, column: Option<&str>) -> Result<Vec<Document>, Problem> {
    let mut tables = Vec::new();
    for sheet in extract::sheets(source.bytes)? {
        let mut rows = sheet.rows.into_iter().skip_while(|row| is_blank(row));
        if let Some(table) = Table::of(rows.next(), column)? {
            tables.push((sheet.name, table, rows));
        }
    }
    let rows = tables.into_iter().flat_map(|(name, table, rows)| {
        rows.filter_map(move |row| {
            let own = [("worksheet".to_owned(), Value::from(name.as_str()))];
            Some((table.text(row)?, own.into_iter().collect()))
        })
    });
    source.lines(rows)
}

struct Table {
    columns: Columns,
    /// The place of the only column that is wanted.
    wanted: Option<usize>,
}

impl Table {
    fn of(header: Option<Vec<String>>, column: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(header) = header.filter(|header| !is_blank(header)) else { return Ok(None) };
        let columns = Columns::of(&header);
        let wanted = match column {
            None => None,
            Some(name) => Some(columns.position(name).ok_or_else(|| no_column(name, &columns))?),
        };
        Ok(Some(Self { columns, wanted }))
    }

    /// `None` for a row that is empty, or where it is wanted.
    fn text(&self, row: Vec<String>) -> Option<String> {
        match self.wanted {
            Some(at) => row.into_iter().nth(at).filter(|value| !value.is_empty()),
            None => (!is_blank(&row)).then(|| self.columns.page(&row)),
        }
    }
}

fn no_column(name: &str, columns: &Columns) -> Problem {
    let short = |name: &str| name.chars().take(40).collect::<String>();
    let known: Vec<String> = columns.names().iter().take(20).map(|name| short(name)).collect();
    Problem(format!("has no column {}; it has {}", short(name.trim()), known.join(", ")))
}

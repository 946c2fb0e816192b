//! Variables of the operator.

use parlor_schemas::{Timestamp, Variable, VariableType};
use uuid::Uuid;

use super::error::StoreError;
use super::table::Table;

/// The stored variables. Reads are done in place; writes block until they are
/// on the disk. The errors are those of reading and writing a row.
#[derive(Debug)]
pub struct Variables {
    table: Table,
}

impl Variables {
    pub(super) fn new(table: Table) -> Self {
        Self { table }
    }

    /// Grows with each change since the start.
    pub fn revision(&self) -> u64 {
        self.table.revision()
    }

    /// One variable.
    pub fn get(&self, id: Uuid) -> Result<Option<Variable>, StoreError> {
        self.table.get(id.as_bytes())
    }

    /// All variables, oldest first.
    pub fn list(&self) -> Result<Vec<Variable>, StoreError> {
        let mut all: Vec<Variable> =
            self.table.list()?.into_iter().map(|(_, variable)| variable).collect();
        all.sort_by_key(|variable| (variable.created_date, variable.id));
        Ok(all)
    }

    /// Makes a variable; names need not be unique.
    pub fn create(
        &self,
        name: &str,
        value: &str,
        kind: VariableType,
    ) -> Result<Variable, StoreError> {
        let now = Timestamp::now();
        let variable = Variable {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            value: value.to_owned(),
            kind,
            created_date: now,
            updated_date: now,
        };
        self.put(&variable)?;
        Ok(variable)
    }

    /// Stores a variable over what had its id.
    pub fn put(&self, variable: &Variable) -> Result<(), StoreError> {
        self.table.put(variable.id.as_bytes(), variable)
    }

    /// Deletes a variable; false where there was none.
    pub fn delete(&self, id: Uuid) -> Result<bool, StoreError> {
        self.table.delete(id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, open_in};
    use super::*;

    #[test]
    fn a_variable_is_made_changed_listed_and_deleted() {
        let (folder, store) = open();
        let mut city = store.variables().create("city", "Oslo", VariableType::Static).unwrap();
        city.value = "Bergen".to_owned();
        store.variables().put(&city).unwrap();
        store.variables().create("HOME", "", VariableType::Runtime).unwrap();
        drop(store);
        let store = open_in(&folder);
        assert_eq!(store.variables().get(city.id).unwrap(), Some(city.clone()));
        assert_eq!(store.variables().list().unwrap().len(), 2);
        assert!(store.variables().delete(city.id).unwrap());
        assert!(!store.variables().delete(city.id).unwrap());
        assert_eq!(store.variables().list().unwrap()[0].name, "HOME");
    }
}

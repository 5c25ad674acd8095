//! Fields of columns that are skipped or generated, in a struct that Diesel reads and inserts too.

use diesel_sqlite_session::Conflict;

use super::*;

diesel::table! {
    accounts (id) {
        id -> Integer,
        name -> Text,
        password_hash -> Text,
        shout -> Nullable<Text>,
        score -> Integer,
    }
}

/// A type that only Diesel can convert.
#[derive(Clone, Debug, Default, PartialEq, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct Secret(String);

impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for Secret {
    fn from_sql(value: diesel::sqlite::SqliteValue<'_, '_, '_>) -> diesel::deserialize::Result<Self> {
        let text = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, _>>::from_sql(value)?;
        Ok(Self(text))
    }
}

impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for Secret {
    fn to_sql<'b>(
        &'b self,
        out: &mut diesel::serialize::Output<'b, '_, diesel::sqlite::Sqlite>,
    ) -> diesel::serialize::Result {
        <String as diesel::serialize::ToSql<diesel::sql_types::Text, _>>::to_sql(&self.0, out)
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Tracked)]
#[diesel(table_name = accounts, primary_key(id))]
pub struct Account {
    score: i32,
    #[diesel(column_name = password_hash)]
    #[tracked(skip)]
    hash: Secret,
    id: i32,
    #[diesel(skip_insertion)]
    #[tracked(generated)]
    shout: Option<String>,
    name: String,
}

/// The same without a declared key.
#[derive(Tracked)]
#[diesel(table_name = accounts)]
#[tracked(row_only, skip(score))]
pub struct Name<'a> {
    id: i32,
    name: &'a str,
    #[tracked(skip)]
    password_hash: &'a str,
    #[tracked(generated)]
    shout: Option<&'a str>,
}

const TABLE: &str = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, password_hash TEXT NOT NULL,
    shout TEXT AS (upper(name)), score INTEGER NOT NULL);";

fn account(id: i32, name: &str, hash: &str) -> Account {
    Account { score: 0, hash: Secret(hash.into()), id, shout: None, name: name.into() }
}

#[test]
fn a_skipped_field_has_its_default_in_changes_and_its_value_in_diesel() {
    let mut conn = open(TABLE);
    let ada = account(1, "Ada", "#a1");
    let captured = conn
        .capture::<Change<accounts::table>>()
        .run(|conn| {
            diesel::insert_into(accounts::table).values(&ada).execute(conn)?;
            diesel::insert_into(accounts::table).values(account(2, "Bob", "#b1")).execute(conn)
        })
        .unwrap();
    let loaded: Account = accounts::table.find(1).select(Account::as_select()).first(&mut conn).unwrap();
    assert_eq!(loaded, Account { shout: Some("ADA".into()), ..ada });
    let mut inserted: Vec<Account> = captured
        .changes
        .into_iter()
        .map(|change| match change {
            Change::Insert(account) => account,
            _ => panic!("not an INSERT"),
        })
        .collect();
    inserted.sort_by_key(|account| account.id);
    assert_eq!(inserted, [account(1, "Ada", ""), account(2, "Bob", "")]);

    let captured = conn
        .capture::<Change<accounts::table>>()
        .run(|conn| {
            let ada = accounts::table.find(1);
            diesel::update(ada)
                .set((accounts::name.eq("Eve"), accounts::password_hash.eq(Secret("#a2".into()))))
                .execute(conn)?;
            diesel::update(accounts::table.find(2)).set(accounts::password_hash.eq(Secret("#b2".into()))).execute(conn)
        })
        .unwrap();
    for update in &captured.changes {
        let Change::Update(update) = update else { panic!("not an UPDATE") };
        let columns: Vec<&str> = update.changed_columns().collect();
        assert_eq!(columns, if update.id == 1 { &["name"][..] } else { &[] });
        assert!(!format!("{update:?}").contains("hash") && !format!("{update:?}").contains("#a"));
    }
    // the changes are applied with the column, and written as SQL without it
    let mut replica = open(TABLE);
    diesel::insert_into(accounts::table)
        .values([account(1, "Ada", "#a1"), account(2, "Bob", "#b1")])
        .execute(&mut replica)
        .unwrap();
    replica.apply(&captured.changeset).run().unwrap();
    let hashes: Vec<Secret> =
        accounts::table.select(accounts::password_hash).order(accounts::id).load(&mut replica).unwrap();
    assert_eq!(hashes, [Secret("#a2".into()), Secret("#b2".into())]);
    let sql = captured.changeset.to_sql([Account::TABLE]).unwrap().to_string();
    assert!(sql.contains("'Eve'") && !sql.contains("hash") && !sql.contains("#a"), "{sql}");
}

#[test]
fn a_skipped_field_has_its_default_in_a_conflict() {
    let (changes, patches) =
        recorded(TABLE, "INSERT INTO accounts (id, name, password_hash, score) VALUES (1, 'Ada', '#a', 7)");
    let mut conn = open(TABLE);
    diesel::insert_into(accounts::table).values(account(1, "Bob", "#b")).execute(&mut conn).unwrap();
    let mut rows = Vec::new();
    conn.apply(&changes)
        .on_conflict::<accounts::table>(|conflict| {
            let Conflict::Conflict(conflict) = conflict else { panic!("{conflict:?}") };
            let Change::Insert(change) = conflict.change() else { panic!("{conflict:?}") };
            assert!(!format!("{conflict:?}").contains('#'));
            rows.extend([change.clone(), conflict.current().clone()]);
            conflict.replace()
        })
        .run()
        .unwrap();
    let ada = Account { score: 7, ..account(1, "Ada", "") };
    assert_eq!(rows, [ada, account(1, "Bob", "")]);
    // the change itself has the column
    let hash: Secret = accounts::table.select(accounts::password_hash).first(&mut conn).unwrap();
    assert_eq!(hash, Secret("#a".into()));

    // borrowed, with a key that only the compiler knows
    for patch in patches.patches::<Patch<Name<'_>>>() {
        let Patch::Insert(Name { id: 1, name: "Ada", password_hash: "", shout: None }) = patch.unwrap() else {
            panic!("another row")
        };
    }
    assert_eq!(Name::TABLE.hidden(), ["score", "password_hash"]);
}

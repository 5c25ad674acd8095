//! A shop and its branch exchange changesets. Both print an audit log of typed changes. Both sold
//! the same product meanwhile: a typed conflict handler merges the two sales.
//!
//! ```text
//! cargo run --example shop
//! ```

#![allow(missing_docs)]

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_sqlite_session::{Change, Changeset, Conflict, Field, Session, SqliteSessionExt, Tracked};

mod setup;
use setup::{Result, open};

diesel::table! {
    products (id) {
        id -> Integer,
        name -> Text,
        stock -> Integer,
    }
}

diesel::table! {
    orders (id) {
        id -> Integer,
        product_id -> Integer,
        customer -> Text,
    }
}

#[derive(Insertable, Tracked)]
#[diesel(table_name = products)]
pub struct Product {
    id: i32,
    name: String,
    stock: i32,
}

#[derive(Insertable, Tracked)]
#[diesel(table_name = orders)]
pub struct Order {
    id: i32,
    product_id: i32,
    customer: String,
}

/// The tracked tables.
#[derive(Tracked)]
enum Shop {
    Products(Change<products::table>),
    Orders(Change<orders::table>),
}

/// Returns one line of the audit log. The compiler rejects this `match` when `Shop` gets another
/// table.
fn audit(change: &Shop) -> String {
    match change {
        Shop::Products(Change::Insert(product)) => format!("new product: {}, {} in stock", product.name, product.stock),
        Shop::Products(Change::Update(product)) => match product.stock.changed() {
            Some((old, new)) => format!("product {}: stock {old} -> {new}", product.id),
            None => format!("product {} was renamed", product.id),
        },
        Shop::Products(Change::Delete(product)) => format!("product removed: {}", product.name),
        Shop::Orders(Change::Insert(order)) => {
            format!("order {}: {} bought product {}", order.id, order.customer, order.product_id)
        }
        Shop::Orders(Change::Update(order)) => format!("order {} was edited", order.id),
        Shop::Orders(Change::Delete(order)) => format!("order {} of {} was cancelled", order.id, order.customer),
    }
}

/// Applies the changes of the other database. If both sides changed the stock of a product, both
/// changes count.
fn merge(conn: &mut SqliteConnection, changeset: &Changeset) -> Result<()> {
    conn.transaction(|conn| {
        let mut differences = BTreeMap::new();
        let report = conn
            .apply(changeset)
            .on_conflict::<products::table>(|conflict| match (&conflict, conflict.change()) {
                (Conflict::Data(c), Change::Update(update)) => match (&update.name, &update.stock) {
                    (Field::Unchanged, Field::Changed { old, new }) => {
                        let (here, difference) = (c.current().stock, new - old);
                        println!("  conflict: product {} went {old} -> {new} there and is {here} here", update.id);
                        println!("  merged:   {here} {difference:+} = {}", here + difference);
                        differences.insert(update.id, difference);
                        c.omit()
                    }
                    _ => c.abort(),
                },
                (other, _) => other.abort(),
            })
            .run()?;
        for (id, difference) in differences {
            let stock = products::stock.eq(products::stock + difference);
            diesel::update(products::table.find(id)).set(stock).execute(conn)?;
        }
        for table in report.tables() {
            println!("  {table}");
        }
        Ok(())
    })
}

const SCHEMA: &str = "
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products, customer TEXT NOT NULL);
    INSERT INTO products VALUES (1, 'lamp', 12), (2, 'chair', 4), (3, 'pocket mirror', 0);
";

fn main() -> Result<()> {
    // 1. Two databases start with the same rows. A session on each records the changes to the
    //    tracked tables.
    let (mut shop, mut branch) = (open(SCHEMA)?, open(SCHEMA)?);
    let (mut shop_session, mut branch_session) = (record(&mut shop)?, record(&mut branch)?);

    // 2. Both sides work with plain Diesel, and both sell lamps.
    sell(&mut shop, Order { id: 1001, product_id: 1, customer: "Ada".into() })?;
    diesel::insert_into(products::table)
        .values(Product { id: 4, name: "table".into(), stock: 2 })
        .execute(&mut shop)?;
    diesel::delete(products::table.find(3)).execute(&mut shop)?;
    sell(&mut branch, Order { id: 2001, product_id: 1, customer: "Grace".into() })?;
    sell(&mut branch, Order { id: 2002, product_id: 1, customer: "Linus".into() })?;
    sell(&mut branch, Order { id: 2003, product_id: 2, customer: "Linus".into() })?;

    // 3. A changeset is both: bytes to ship and typed changes to read.
    let (from_shop, from_branch) = (shop_session.changeset()?, branch_session.changeset()?);
    for (name, changeset) in [("shop", &from_shop), ("branch", &from_branch)] {
        println!("Audit log of the {name}, shipped as {} bytes:", changeset.as_bytes().len());
        for change in changeset.changes::<Shop>() {
            println!("  {}", audit(&change?));
        }
    }

    // 4. Each side applies the changes of the other.
    println!("\nThe branch applies the changes of the shop:");
    merge(&mut branch, &from_shop)?;
    println!("The shop applies the changes of the branch:");
    merge(&mut shop, &from_branch)?;

    // 5. Both databases contain the same rows: of 12 lamps, three were sold.
    let (in_shop, in_branch) = (stock(&mut shop)?, stock(&mut branch)?);
    println!("\nFinal stock:     shop  branch");
    for ((name, shop), (_, branch)) in in_shop.iter().zip(&in_branch) {
        println!("  {name:<13} {shop:>5} {branch:>7}");
    }
    assert_eq!(in_shop, in_branch);
    assert_eq!(in_shop, [("lamp".into(), 9), ("chair".into(), 3), ("table".into(), 2)]);
    Ok(())
}

/// Records the changes to the tracked tables from now on.
fn record(conn: &mut SqliteConnection) -> Result<Session> {
    let mut session = conn.create_session()?;
    session.attach_set::<Shop>()?;
    Ok(session)
}

fn sell(conn: &mut SqliteConnection, order: Order) -> QueryResult<()> {
    conn.transaction(|conn| {
        let product = products::table.find(order.product_id);
        diesel::update(product).set(products::stock.eq(products::stock - 1)).execute(conn)?;
        diesel::insert_into(orders::table).values(order).execute(conn)?;
        Ok(())
    })
}

fn stock(conn: &mut SqliteConnection) -> QueryResult<Vec<(String, i32)>> {
    products::table.order(products::id).select((products::name, products::stock)).load(conn)
}

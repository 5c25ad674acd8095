//! A shop and its branch: what changes in one database file is tracked, logged as typed values, shipped as a changeset, and
//! applied to another, where somebody has been at work too.
//!
//! ```text
//! cargo run --example shop
//! ```

#![allow(missing_docs)]

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, ConflictAction, ConflictType, SqliteSessionExt, Tracked};

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

/// Every table that is tracked.
#[derive(Tracked)]
enum Shop {
    Products(Change<products::table>),
    Orders(Change<orders::table>),
}

/// The audit log. Should the set get another table, this does not compile until it has its arm.
fn log(change: &Shop) -> String {
    match change {
        Shop::Products(Change::Insert(product)) => format!("{}: new, {} in stock", product.name, product.stock),
        Shop::Products(Change::Update(product)) => match product.stock.changed() {
            Some((old, new)) => format!("product {}: the stock went from {old} to {new}", product.id),
            None => format!("product {} has another name", product.id),
        },
        Shop::Products(Change::Delete(product)) => format!("{}: given up", product.name),
        Shop::Orders(Change::Insert(order)) => {
            format!("order {}: product {} for {}", order.id, order.product_id, order.customer)
        }
        Shop::Orders(Change::Update(order)) => format!("order {} was changed", order.id),
        Shop::Orders(Change::Delete(order)) => format!("order {} of {} was cancelled", order.id, order.customer),
    }
}

const SCHEMA: &str = "
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products, customer TEXT NOT NULL);
    INSERT INTO products VALUES (1, 'lamp', 12), (2, 'chair', 4), (3, 'pocket mirror', 0);
";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("shop-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let open = |name: &str| -> Result<SqliteConnection, Box<dyn Error>> {
        let path = directory.join(name);
        let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
        conn.batch_execute(SCHEMA)?;
        Ok(conn)
    };
    let result = trade(&mut open("shop.db")?, &mut open("branch.db")?);
    std::fs::remove_dir_all(&directory)?;
    result
}

fn trade(shop: &mut SqliteConnection, branch: &mut SqliteConnection) -> Result<(), Box<dyn Error>> {
    println!("The shop and its branch begin with the same products:");
    print_products(shop)?;

    // 1. From here on, what changes in the two tables is recorded.
    let mut session = shop.create_session()?;
    session.attach_set::<Shop>()?;

    // 2. The shop works as it always did, through Diesel.
    shop.transaction::<_, diesel::result::Error, _>(|conn| {
        diesel::insert_into(orders::table)
            .values(Order { id: 1001, product_id: 1, customer: "Ada".into() })
            .execute(conn)?;
        diesel::update(products::table.find(1)).set(products::stock.eq(products::stock - 1)).execute(conn)
    })?;
    diesel::insert_into(products::table).values(Product { id: 4, name: "table".into(), stock: 2 }).execute(shop)?;
    diesel::delete(products::table.find(3)).execute(shop)?;

    // 3. What it did is a few bytes, and typed values.
    let changeset = session.changeset()?;
    println!("\nThe shop was at work. Its audit log, from {} bytes:", changeset.as_bytes().len());
    for change in changeset.changes::<Shop>() {
        println!("  {}", log(&change?));
    }

    // 4. Meanwhile the branch sold two lamps of its own.
    diesel::update(products::table.find(1)).set(products::stock.eq(10)).execute(branch)?;
    println!("\nMeanwhile the branch sold two lamps; it has:");
    print_products(branch)?;

    // 5. The branch takes the changes over, and decides where they do not fit.
    println!("\nThe branch applies the changes:");
    branch.apply_changeset(&changeset, |conflict| {
        let action = match conflict {
            ConflictType::Data | ConflictType::Conflict => ConflictAction::Replace,
            ConflictType::NotFound => ConflictAction::Omit,
            _ => ConflictAction::Abort,
        };
        println!("  a conflict, {conflict:?} (the lamps are not as many as the shop thought): {action:?}");
        action
    })?;
    print_products(branch)?;
    let customers: Vec<String> = orders::table.select(orders::customer).load(branch)?;
    println!("  and the orders of {}", customers.join(", "));

    let same = products::table.order(products::id).load::<(i32, String, i32)>(shop)?
        == products::table.order(products::id).load::<(i32, String, i32)>(branch)?;
    println!("\nThe products of both are {}.", if same { "the same now" } else { "different" });

    // 6. And it could be undone.
    branch.apply_changeset(&changeset.invert(), |_| ConflictAction::Abort)?;
    println!("\nUndone again at the branch, with the inverse:");
    print_products(branch)?;
    Ok(())
}

fn print_products(conn: &mut SqliteConnection) -> QueryResult<()> {
    for (id, name, stock) in products::table.order(products::id).load::<(i32, String, i32)>(conn)? {
        println!("  {id}  {name:<14} {stock:>3}");
    }
    Ok(())
}

//! A whole schema, typed by one derive: the tables of the Chinook sample database, as `diesel print-schema` wrote them into
//! `schema.rs`. Every table of a copy of it is edited, and what changed is printed.
//!
//! ```text
//! cargo run --example chinook -- chinook.sqlite
//! ```

#![allow(missing_docs)]

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};

#[allow(non_snake_case)]
mod schema;

/// Of each table, such as `Album`, this makes the structs `AlbumRow`, `AlbumUpdate` and `AlbumPatch`, and of all of them the
/// enums `ChinookChange` and `ChinookPatch`.
#[derive(Tracked)]
#[tracked(schema = "examples/chinook/schema.rs", module = crate::schema)]
pub struct Chinook;

/// Edits of every table, as an application might make them.
const EDITS: &str = "
    INSERT INTO Artist VALUES (9001, 'Nina Simone');
    INSERT INTO Album VALUES (9001, 'Pastel Blues', 9001);
    INSERT INTO Genre VALUES (9001, 'Soul');
    UPDATE MediaType SET Name = 'AAC' WHERE MediaTypeId = 5;
    INSERT INTO Track VALUES (9001, 'Sinnerman', 9001, 1, 9001, NULL, 622000, NULL, 1.29);
    UPDATE Track SET UnitPrice = 0.89, Composer = NULL WHERE TrackId = 1;
    UPDATE Playlist SET Name = 'All music' WHERE PlaylistId = 1;
    INSERT INTO PlaylistTrack VALUES (1, 9001);
    DELETE FROM PlaylistTrack WHERE PlaylistId = 18 AND TrackId = 597;
    UPDATE Employee SET Title = 'Support Lead', ReportsTo = 1 WHERE EmployeeId = 3;
    UPDATE Customer SET Email = 'leonie@example.org', Phone = NULL WHERE CustomerId = 2;
    INSERT INTO Invoice VALUES (9001, 2, '2026-01-02 00:00:00', NULL, 'Stuttgart', NULL, 'Germany', '70174', 1.29);
    INSERT INTO InvoiceLine VALUES (9001, 9001, 9001, 1.29, 1);
    DELETE FROM InvoiceLine WHERE InvoiceLineId = 1;
";

fn main() -> Result<(), Box<dyn Error>> {
    let Some(file) = std::env::args().nth(1) else {
        println!("usage: chinook FILE, where FILE is the Chinook sample database for SQLite");
        return Ok(());
    };
    let directory = std::env::temp_dir().join(format!("chinook-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let copy = directory.join("chinook.sqlite");
    std::fs::copy(&file, &copy)?;
    let result = edit(&copy.to_string_lossy());
    std::fs::remove_dir_all(&directory)?;
    result
}

fn edit(path: &str) -> Result<(), Box<dyn Error>> {
    let mut conn = SqliteConnection::establish(path)?;
    let captured = conn.capture::<ChinookChange, _, _, _>(|conn| conn.batch_execute(EDITS))?;
    for change in &captured.changes {
        println!("{}", tell(change));
    }
    println!("{} changes, {} bytes", captured.changes.len(), captured.changeset.as_bytes().len());
    Ok(())
}

/// One line for each change. Should the schema get another table, this does not compile until it has its arm.
fn tell(change: &ChinookChange) -> String {
    match change {
        ChinookChange::Artist(Change::Insert(artist)) => {
            format!("a new artist: {}", artist.Name.as_deref().unwrap_or("?"))
        }
        ChinookChange::Album(Change::Insert(album)) => format!("a new album: {}", album.Title),
        ChinookChange::Genre(Change::Insert(genre)) => {
            format!("a new genre: {}", genre.Name.as_deref().unwrap_or("?"))
        }
        ChinookChange::Track(Change::Insert(track)) => {
            format!("a new track: {}, {} s, {:.2}", track.Name, track.Milliseconds / 1000, track.UnitPrice)
        }
        ChinookChange::Track(Change::Update(track)) => {
            let price = track.UnitPrice.changed().map(|(old, new)| format!(", from {old:.2} to {new:.2}"));
            let composer = match track.Composer.changed() {
                Some((Some(old), None)) => format!(", no longer by {old}"),
                _ => String::new(),
            };
            format!("track {}{}{composer}", track.TrackId, price.unwrap_or_default())
        }
        ChinookChange::PlaylistTrack(Change::Insert(entry)) => {
            format!("track {} is on playlist {}", entry.TrackId, entry.PlaylistId)
        }
        ChinookChange::PlaylistTrack(Change::Delete(entry)) => {
            format!("track {} is off playlist {}", entry.TrackId, entry.PlaylistId)
        }
        ChinookChange::Customer(Change::Update(customer)) => {
            let email = customer.Email.new_value().map_or("the same address", String::as_str);
            let phone = if customer.Phone.is_changed() { "another phone" } else { "the same phone" };
            format!("customer {} has {email} and {phone}", customer.CustomerId)
        }
        ChinookChange::Employee(Change::Update(employee)) => {
            format!(
                "employee {} has a new title: {:?}",
                employee.EmployeeId,
                employee.Title.new_value().and_then(Option::as_deref)
            )
        }
        ChinookChange::Invoice(Change::Insert(invoice)) => {
            format!("an invoice of {:.2} on {} for customer {}", invoice.Total, invoice.InvoiceDate, invoice.CustomerId)
        }
        ChinookChange::Artist(other) => format!("artists: {other:?}"),
        ChinookChange::Album(other) => format!("albums: {other:?}"),
        ChinookChange::Genre(other) => format!("genres: {other:?}"),
        ChinookChange::MediaType(other) => format!("media types: {other:?}"),
        ChinookChange::Track(other) => format!("tracks: {other:?}"),
        ChinookChange::Playlist(other) => format!("playlists: {other:?}"),
        ChinookChange::PlaylistTrack(other) => format!("playlist entries: {other:?}"),
        ChinookChange::Customer(other) => format!("customers: {other:?}"),
        ChinookChange::Employee(other) => format!("employees: {other:?}"),
        ChinookChange::Invoice(other) => format!("invoices: {other:?}"),
        ChinookChange::InvoiceLine(other) => format!("invoice lines: {other:?}"),
    }
}

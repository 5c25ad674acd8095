//! Typed changes of a whole schema with one derive. The file `schema.rs` is the output of
//! `diesel print-schema` for the Chinook sample database. The program edits every table of a copy
//! of the database and prints the changes.
//!
//! ```text
//! cargo run --example chinook -- chinook.sqlite
//! ```

#![allow(missing_docs)]

use std::error::Error;
use std::fs::File;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};

#[allow(non_snake_case)]
mod schema;

/// The derive generates the structs `AlbumRow`, `AlbumUpdate` and `AlbumPatch` for the table
/// `Album`, the same for every other table, and the enums `ChinookChange` and `ChinookPatch` for
/// all tables.
#[derive(Tracked)]
#[tracked(schema = "examples/chinook/schema.rs", module = crate::schema)]
pub struct Chinook;

/// Edits of every table.
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
    edit_a_copy(Path::new(&file))
}

fn edit_a_copy(file: &Path) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("chinook.sqlite");
    // not `std::fs::copy`, by which the copy of a read-only file would be read-only too
    std::io::copy(&mut File::open(file)?, &mut File::create(&copy)?)?;
    let mut conn = SqliteConnection::establish(&copy.to_string_lossy())?;
    let captured = conn.capture::<ChinookChange>().run(|conn| conn.batch_execute(EDITS))?;
    for change in &captured.changes {
        println!("{}", describe(change));
    }
    println!("{} changes, {} bytes", captured.changes.len(), captured.changeset.as_bytes().len());
    Ok(())
}

/// Returns one line for a change. The compiler rejects this `match` when the schema gets another
/// table.
fn describe(change: &ChinookChange) -> String {
    match change {
        ChinookChange::Artist(Change::Insert(artist)) => {
            format!("new artist: {}", artist.Name.as_deref().unwrap_or("?"))
        }
        ChinookChange::Album(Change::Insert(album)) => format!("new album: {}", album.Title),
        ChinookChange::Genre(Change::Insert(genre)) => {
            format!("new genre: {}", genre.Name.as_deref().unwrap_or("?"))
        }
        ChinookChange::Track(Change::Insert(track)) => {
            format!("new track: {}, {} s, price {:.2}", track.Name, track.Milliseconds / 1000, track.UnitPrice)
        }
        ChinookChange::Track(Change::Update(track)) => {
            let price = track.UnitPrice.changed().map(|(old, new)| format!(": price {old:.2} -> {new:.2}"));
            let composer = match track.Composer.changed() {
                Some((Some(old), None)) => format!(", composer removed: {old}"),
                _ => String::new(),
            };
            format!("track {}{}{composer}", track.TrackId, price.unwrap_or_default())
        }
        ChinookChange::PlaylistTrack(Change::Insert(entry)) => {
            format!("track {} added to playlist {}", entry.TrackId, entry.PlaylistId)
        }
        ChinookChange::PlaylistTrack(Change::Delete(entry)) => {
            format!("track {} removed from playlist {}", entry.TrackId, entry.PlaylistId)
        }
        ChinookChange::Customer(Change::Update(customer)) => {
            let email = customer.Email.new_value().map_or("unchanged", String::as_str);
            let phone = if customer.Phone.is_changed() { "changed" } else { "unchanged" };
            format!("customer {}: email {email}, phone {phone}", customer.CustomerId)
        }
        ChinookChange::Employee(Change::Update(employee)) => {
            let title = employee.Title.new_value().and_then(Option::as_deref);
            format!("employee {}: new title {}", employee.EmployeeId, title.unwrap_or("?"))
        }
        ChinookChange::Invoice(Change::Insert(invoice)) => {
            format!("new invoice: {:.2} on {} for customer {}", invoice.Total, invoice.InvoiceDate, invoice.CustomerId)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_is_an_error_that_names_the_table() -> Result<(), Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("other.db");
        let mut conn = SqliteConnection::establish(&file.to_string_lossy())?;
        for (schema, message) in [
            ("", "table Album: expected a table with a primary key, but the database has no such table"),
            (
                "CREATE TABLE Album (AlbumId INTEGER PRIMARY KEY, Name TEXT, ArtistId INTEGER)",
                "table Album, column Title: expected `Title` at position 1, but the database has `Name` there",
            ),
        ] {
            conn.batch_execute(schema)?;
            let error = edit_a_copy(&file).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error() -> Result<(), Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("text");
        assert!(edit_a_copy(&file).is_err(), "no file");
        std::fs::write(&file, "this is no database, but a text of some length")?;
        assert!(edit_a_copy(&file).unwrap_err().to_string().contains("file is not a database"));
        Ok(())
    }
}

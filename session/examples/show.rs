//! Prints the changes of a changeset or patchset, and the inverse of a changeset. Needs neither
//! Diesel nor SQLite.
//!
//! ```text
//! cargo run --example show            prints a small built-in changeset
//! cargo run --example show -- FILE    prints a file of any size, one change at a time
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};

use diesel_sqlite_session::{Changeset, ChangesetReader, Format, Operation, PatchsetReader, Record};

/// A changeset that a session recorded in a shop's database: an order, the stock that a trigger
/// reduced, a deleted product.
const SHOP: &[u8] = b"T\x04\x01\x00\x00\x00orders\0\
    \x12\x00\x01\0\0\0\0\0\0\x03\xe9\x03\x0fada@example.org\x01\0\0\0\0\0\0\0\x07\x02\x40\x33\xeb\x85\x1e\xb8\x51\xec\
    T\x04\x01\x00\x00\x00products\0\
    \x17\x01\x01\0\0\0\0\0\0\0\x07\x00\x01\0\0\0\0\0\0\0\x0c\x00\x00\x00\x01\0\0\0\0\0\0\0\x0b\x00\
    \x09\x00\x01\0\0\0\0\0\0\0\x08\x03\x0dPocket mirror\x01\0\0\0\0\0\0\0\0\x05";

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    match std::env::args_os().nth(1) {
        None => show_shop(&mut out),
        Some(path) => show_file(&mut out, File::open(path)?),
    }
}

fn show_shop(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let changeset = Changeset::try_from(SHOP.to_vec())?;
    writeln!(out, "{} bytes, {} tables:", SHOP.len(), changeset.sections().count())?;
    for section in changeset.sections() {
        let key: Vec<usize> = section.key_columns().collect();
        writeln!(out, "\n{}: {} columns, primary key {key:?}", section.table(), section.column_count())?;
        for record in section.records() {
            show(out, &record)?;
        }
    }
    writeln!(out, "\nThe inverse changeset undoes these changes:")?;
    for record in &changeset.invert() {
        show(out, &record)?;
    }
    Ok(())
}

fn show_file(out: &mut impl Write, file: File) -> Result<(), Box<dyn Error>> {
    // the first byte is different in changesets and patchsets
    let mut first = Vec::new();
    (&file).take(1).read_to_end(&mut first)?;
    let format = first.first().and_then(|byte| Format::from_byte(*byte));
    let source = io::Cursor::new(first).chain(file);
    let mut count = 0u64;
    if format == Some(Format::Patchset) {
        let mut reader = PatchsetReader::new(source);
        while let Some(record) = reader.next_record()? {
            show(out, &record)?;
            count += 1;
        }
    } else {
        let mut reader = ChangesetReader::new(source);
        while let Some(record) = reader.next_record()? {
            show(out, &record)?;
            count += 1;
        }
    }
    writeln!(out, "{count} changes")?;
    Ok(())
}

fn show(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    let mark = match record.operation() {
        Operation::Insert => '+',
        Operation::Update => '~',
        Operation::Delete => '-',
    };
    writeln!(out, "  {mark} {record:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> Result<String, Box<dyn Error>> {
        let path = std::env::temp_dir().join(format!("diesel-sqlite-session-show-{}", std::process::id()));
        std::fs::write(&path, bytes)?;
        let mut out = Vec::new();
        let shown = show_file(&mut out, File::open(&path)?);
        std::fs::remove_file(&path)?;
        shown?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn files_are_shown_or_are_errors() -> Result<(), Box<dyn Error>> {
        assert_eq!(shown(&[])?, "0 changes\n");
        let changes = shown(SHOP)?;
        assert!(changes.contains("+ INSERT orders(1001, 'ada@example.org', 7, 19.92)"), "{changes}");
        assert!(changes.ends_with("3 changes\n"), "{changes}");
        assert!(shown(&SHOP[..SHOP.len() - 1]).is_err(), "a file that ends too early");
        assert!(shown(b"this is no changeset").is_err());
        Ok(())
    }
}

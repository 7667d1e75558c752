//! Members of a tar archive as a stream. Names are names: nothing is unpacked to a disk, links are not followed.
//!
//! Records that say more of the next member (long names, PAX) are read here and not by the library below, which
//! takes them into memory whatever their size. Left out: sparse members, and sizes that only PAX can say (above 8 GiB).

use std::io::{self, BufRead, Read};

use tar::{Archive, Entries, Entry, EntryType};

/// Longest record about a member, in bytes; a PAX record of a long name takes a few hundred.
const LONGEST_RECORD: u64 = 1 << 20;
/// Files of an archive that are looked at: a rank each.
const MOST_FILES: u32 = 1 << 16;

type Layer = Box<dyn BufRead>;

/// An archive whose records are left alone.
pub(crate) fn opened(layer: Layer) -> Archive<Layer> {
    Archive::new(layer)
}

/// The members of an archive.
pub(crate) struct Members<'a> {
    entries: Entries<'a, Layer>,
    files: u32,
}

impl<'a> Members<'a> {
    pub(crate) fn of(archive: &'a mut Archive<Layer>) -> io::Result<Self> {
        Ok(Self { entries: archive.entries()?.raw(true), files: 0 })
    }

    /// The next plain file with its name.
    pub(crate) fn next_file(&mut self) -> io::Result<Option<(String, Entry<'a, Layer>)>> {
        let mut long_name = None;
        loop {
            let Some(entry) = self.entries.next() else { return Ok(None) };
            let mut entry = entry?;
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    let name = record(&mut entry)?;
                    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                    long_name = Some(text(&name[..end]));
                }
                EntryType::XHeader => {
                    let records = record(&mut entry)?;
                    for record in tar::PaxExtensions::new(&records) {
                        let record = record?;
                        match record.key_bytes() {
                            b"path" => long_name = Some(text(record.value_bytes())),
                            b"size" => return Err(wrong("a member of more than 8 GiB")),
                            _ => {}
                        }
                    }
                }
                EntryType::Regular => {
                    self.files += 1;
                    if self.files > MOST_FILES {
                        return Err(wrong("more than 65536 files"));
                    }
                    let name = long_name.take().unwrap_or_else(|| text(&entry.path_bytes()));
                    return Ok(Some((name, entry)));
                }
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                // Links and folders hold no data; what was said of them is about no other.
                _ => long_name = None,
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn record(entry: &mut Entry<'_, Layer>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_RECORD + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err(wrong("a name of more than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn member(builder: &mut tar::Builder<Vec<u8>>, kind: EntryType, size: u64, bytes: impl Read) {
        let mut header = tar::Header::new_ustar();
        header.set_path("short.csv").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }

    fn names(bytes: Vec<u8>) -> io::Result<Vec<String>> {
        let mut archive = opened(Box::new(Cursor::new(bytes)));
        let mut members = Members::of(&mut archive)?;
        let mut names = Vec::new();
        while let Some((name, _)) = members.next_file()? {
            names.push(name);
        }
        Ok(names)
    }

    #[test]
    fn long_names_are_read_and_endless_ones_are_not() {
        let long = "folder/".repeat(40) + "rank.json";
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        // Writes a record of its own for the name.
        builder.append_data(&mut header, &long, &b"{}"[..]).unwrap();
        let pax = format!("{} path=pax/{long}\n", long.len() + 14);
        member(&mut builder, EntryType::XHeader, pax.len() as u64, pax.as_bytes());
        member(&mut builder, EntryType::Regular, 2, &b"{}"[..]);
        // What is said of a link is not about the file behind it.
        member(&mut builder, EntryType::GNULongName, 5, &b"link\0"[..]);
        member(&mut builder, EntryType::Symlink, 0, &b""[..]);
        member(&mut builder, EntryType::Regular, 2, &b"{}"[..]);
        let found = names(builder.into_inner().unwrap()).unwrap();
        assert_eq!(found, [long.clone(), format!("pax/{long}"), "short.csv".to_owned()]);
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let mut builder = tar::Builder::new(Vec::new());
            let size = LONGEST_RECORD + 1;
            member(&mut builder, kind, size, io::repeat(b'a').take(size));
            let told = names(builder.into_inner().unwrap()).unwrap_err().to_string();
            assert_eq!(told, "a name of more than 1 MiB");
        }
    }
}

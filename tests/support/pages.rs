//! The pages of the documentation, taken apart: headings, links, fenced blocks, code in the text.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::support::root;

/// A piece of code on a page, in the order of the page.
pub struct Code {
    pub line: usize,
    /// Language of a fenced block; none for code in the text.
    pub fence: Option<String>,
    pub text: String,
}

pub struct Page {
    /// From the root of the repository.
    pub path: PathBuf,
    /// Names by which links reach its headings.
    pub anchors: Vec<String>,
    /// Line and target of each link and image.
    pub links: Vec<(usize, String)>,
    pub code: Vec<Code>,
}

impl Page {
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let (mut anchors, mut links, mut code) = (Vec::new(), Vec::new(), Vec::new());
        let (mut heading, mut block): (Option<String>, Option<Code>) = (None, None);
        let line_of = |at: usize| text[..at].lines().count() + 1;
        for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let again = anchors.iter().filter(|known| **known == slug).count();
                    anchors.push(if again > 0 { format!("{slug}-{again}") } else { slug });
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push((line_of(range.start), dest_url.to_string()));
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let fence = match kind {
                        CodeBlockKind::Fenced(language) => language.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let line = line_of(range.start);
                    block = Some(Code { line, fence: Some(fence), text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => code.extend(block.take()),
                Event::Text(words) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&words);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                    let line = line_of(range.start);
                    code.push(Code { line, fence: None, text: words.to_string() });
                }
                _ => {}
            }
        }
        Self { path: path.to_owned(), anchors, links, code }
    }
}

/// A heading as a link names it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// Pages below a folder, from the root of the repository.
pub fn below(folder: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            out.extend(below(&name));
        } else if entry.path().extension().is_some_and(|end| end == "md") {
            out.push(PathBuf::from(name));
        }
    }
    out.sort();
    out
}

/// All pages: those of the root and those of `docs`.
pub fn all() -> Vec<Page> {
    let top =
        std::fs::read_dir(root()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let mut paths: Vec<PathBuf> =
        top.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    paths.sort();
    paths.extend(below("docs"));
    paths.iter().map(|path| Page::read(path)).collect()
}

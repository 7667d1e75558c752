//! A self-contained page: headline numbers, figures as SVG, tables that a small script sorts, assumptions
//! and how to reproduce it. It needs no network, and no script except for sorting.

use crate::Figure;
use crate::canvas::escaped;

const STYLE: &str = "body{font:15px/1.45 'Liberation Sans',Arial,Helvetica,sans-serif;color:#111;background:#fff;max-width:84em;\
margin:1.5em auto;padding:0 1em}p,ul,pre{max-width:62em}.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.6em 0;font-size:.9em}\
th,td{padding:.15em .5em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th{border-bottom:1px solid #444;white-space:normal;vertical-align:bottom}td:first-child,th:first-child,.text{text-align:left}\
td.long{white-space:normal;overflow-wrap:anywhere;min-width:11em}\
.sortable th button{all:unset;cursor:pointer}.sortable th button:focus-visible{outline:2px solid #0064a8}\
figure{display:inline-block;vertical-align:top;width:29em;max-width:100%;margin:1em 1em 1em 0}\
figure.wide{width:100%}figure svg{width:100%;height:auto}figcaption{color:#444;font-size:13px}\
.big{display:flex;flex-wrap:wrap;gap:1em 2.5em;margin:1em 0}.big b{display:block;font-size:1.7em}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6em}";

const SCRIPT: &str = "document.querySelectorAll('table.sortable').forEach(t=>{t.querySelectorAll('th').forEach((h,i)=>{\
const b=document.createElement('button');b.append(...h.childNodes);h.append(b);let up=false;\
b.onclick=()=>{const r=[...t.tBodies[0].rows],k=x=>x.cells[i].textContent,n=s=>parseFloat(s.replace('\u{2212}','-')),\
num=r.every(x=>k(x)===''||k(x)==='\u{2013}'||!isNaN(n(k(x))));r.sort((a,c)=>num?(n(k(a))||0)-(n(k(c))||0):k(a).localeCompare(k(c)));\
up=!up;if(!up)r.reverse();t.querySelectorAll('th').forEach(o=>o.removeAttribute('aria-sort'));\
h.setAttribute('aria-sort',up?'ascending':'descending');t.tBodies[0].append(...r)}})})";

/// Characters of a cell that stand in one line.
const SHORT: usize = 20;

/// Whether a cell holds a number, with or without its unit, or nothing.
fn is_number(cell: &str) -> bool {
    let first = cell.split(' ').next().unwrap_or_default();
    let digits = first.trim_end_matches(|c: char| c.is_alphabetic() || c == '%');
    let plain = digits.replace('\u{a0}', "").replace('\u{2212}', "-");
    matches!(cell, "" | "\u{2013}") || plain.parse::<f64>().is_ok()
}

/// A heading that may go on in another line behind each dot of a path.
fn breakable(name: &str) -> String {
    let dots = |part: &str| part.starts_with(char::is_alphabetic);
    let mut parts = name.split('.');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(if dots(part) { ".<wbr>" } else { "." });
        out.push_str(part);
    }
    out
}

/// A page in the making.
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
    figures: usize,
}

impl Page {
    /// A page with its title and a line below it.
    pub fn new(title: &str, line: &str) -> Self {
        let body = format!("<h1>{}</h1>\n<p>{}</p>\n", escaped(title), escaped(line));
        Self { title: title.to_owned(), body, figures: 0 }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.body.push_str(&format!("<h2>{}</h2>\n", escaped(text)));
    }

    /// Headline numbers: what, the number, and its interval or what else belongs to it.
    pub fn headline(&mut self, numbers: &[(String, String, String)]) {
        self.body.push_str("<div class=\"big\">\n");
        for (what, number, beside) in numbers {
            let (what, number, beside) = (escaped(what), escaped(number), escaped(beside));
            self.body.push_str(&format!("<div>{what}<b>{number}</b>{beside}</div>\n"));
        }
        self.body.push_str("</div>\n");
    }

    /// A figure. Names inside it are made its own, since several share the page.
    pub fn figure(&mut self, figure: &Figure, caption: &str) {
        self.figures += 1;
        let own = format!("f{}-", self.figures);
        let svg = figure
            .svg
            .replace(" id=\"", &format!(" id=\"{own}"))
            .replace("url(#", &format!("url(#{own}"));
        let caption = escaped(caption);
        self.body
            .push_str(&format!("<figure>\n{svg}<figcaption>{caption}</figcaption>\n</figure>\n"));
    }

    /// A table that can be sorted.
    pub fn table(&mut self, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.rows(header, rows.map(|row| (None, row)));
    }

    /// The same, of which each row leads to a file beside this one.
    pub fn linked(&mut self, header: &[&str], rows: impl Iterator<Item = (String, Vec<String>)>) {
        self.rows(header, rows.map(|(file, row)| (Some(file), row)));
    }

    fn rows(&mut self, header: &[&str], rows: impl Iterator<Item = (Option<String>, Vec<String>)>) {
        let rows: Vec<(Option<String>, Vec<String>)> = rows.collect();
        // Words stand at the left, numbers at the right; sentences and long names may take several lines.
        let class: Vec<&str> = (0..header.len())
            .map(|column| {
                let mut cells = rows.iter().filter_map(|(_, row)| row.get(column));
                let words = cells.clone().any(|cell| !is_number(cell));
                let long = cells.any(|cell| cell.chars().count() > SHORT);
                match (words, long) {
                    (true, true) => " class=\"text long\"",
                    (true, false) => " class=\"text\"",
                    (false, _) => "",
                }
            })
            .collect();
        let names: Vec<String> = header
            .iter()
            .zip(&class)
            .map(|(name, class)| format!("<th{class}>{}</th>", breakable(&escaped(name))))
            .collect();
        self.body.push_str(&format!(
            "<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr>{}</tr></thead>\n<tbody>\n",
            names.concat()
        ));
        for (file, row) in rows {
            self.body.push_str("<tr>");
            for (number, cell) in row.iter().enumerate() {
                let text = escaped(cell);
                let class = class.get(number).copied().unwrap_or_default();
                match file.as_ref().filter(|_| number == 0) {
                    Some(file) => {
                        let file = escaped(file);
                        self.body
                            .push_str(&format!("<td{class}><a href=\"{file}\">{text}</a></td>"));
                    }
                    None => self.body.push_str(&format!("<td{class}>{text}</td>")),
                }
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.body.push_str(&format!("<p>{}</p>\n", escaped(text)));
    }

    /// A list.
    pub fn list(&mut self, items: impl Iterator<Item = String>) {
        let lines: Vec<String> =
            items.map(|item| format!("<li>{}</li>\n", escaped(&item))).collect();
        let items = lines.concat();
        self.body.push_str(&format!("<ul>\n{items}</ul>\n"));
    }

    /// A command line, or other text as it is.
    pub fn verbatim(&mut self, text: &str) {
        let lines: Vec<String> = text.lines().map(escaped).collect();
        self.body.push_str(&format!("<pre>{}</pre>\n", lines.join("\n")));
    }

    /// The file.
    pub fn finish(self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<link rel=\"icon\" \
             href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n{}<script>{SCRIPT}</script>\n</body>\n</html>\n",
            escaped(&self.title),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_words_that_begin_with_digits() {
        for cell in [
            "",
            "\u{2013}",
            "12",
            "-1.2 %",
            "+0.3 %",
            "1.51x",
            "156 KiB",
            "12\u{a0}345",
            "\u{2212}5",
        ] {
            assert!(is_number(cell), "{cell}");
        }
        for cell in ["128x64x8 2 stages", "20-100 us", ">= 100 us", "DRAM", "fp16"] {
            assert!(!is_number(cell), "{cell}");
        }
    }

    #[test]
    fn sentences_and_long_names_take_several_lines() {
        let mut page = Page::new("t", "");
        let row = ["a_name_of_more_than_twenty_letters", "b", "a sentence with several words", "1"];
        page.table(&["name", "gpu", "why", "ms"], std::iter::once(row.map(Into::into).to_vec()));
        let html = page.finish();
        let classes = [" class=\"text long\"", " class=\"text\"", " class=\"text long\"", ""];
        for (class, cell) in classes.iter().zip(row) {
            assert!(html.contains(&format!("<td{class}>{cell}</td>")), "{cell}");
        }
    }

    #[test]
    fn paths_break_behind_their_dots() {
        assert_eq!(breakable("accelerator.mlp.arrays"), "accelerator.<wbr>mlp.<wbr>arrays");
        assert_eq!(breakable("corr."), "corr.");
    }
}

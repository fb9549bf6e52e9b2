//! The page that shows what is in a folder.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};

use super::answer::Answer;
use super::open::Entry;
use super::order::{Column, Order};
use super::page::{self, Text};
use super::path::encode;

/// How many entries a listing shows, unless the folder says otherwise.
pub const LISTING_MAX: usize = 10_000;

const STYLE: &str = include_str!("listing.css");

const ICONS: &str = "\
<svg class=\"icons\" aria-hidden=\"true\">\n\
<symbol id=\"d\" viewBox=\"0 0 20 20\"><path d=\"M2.5 5.5c0-.8.7-1.5 1.5-1.5h3.6c.4 0 .8.2 1.1.4l1.2 \
1.2c.2.2.4.3.7.3H16c.8 0 1.5.7 1.5 1.5v7.1c0 .8-.7 1.5-1.5 1.5H4c-.8 0-1.5-.7-1.5-1.5z\"/></symbol>\n\
<symbol id=\"f\" viewBox=\"0 0 20 20\"><path d=\"M5.5 2.5h6l4 4v10c0 .6-.4 1-1 1h-9c-.6 \
0-1-.4-1-1v-13c0-.6.4-1 1-1z M11.5 2.5v4h4\"/></symbol>\n\
<symbol id=\"u\" viewBox=\"0 0 20 20\"><path d=\"M10 16.5v-12 M5 9l5-5 5 5\"/></symbol>\n\
</svg>\n";

/// A folder's page, before it is written.
pub(super) struct Listing<'a> {
    /// What the root is called.
    pub(super) title: &'a str,
    /// From the root to this folder.
    pub(super) names: &'a [Vec<u8>],
    pub(super) entries: Vec<Entry>,
    /// There are more than these.
    pub(super) is_cut: bool,
    pub(super) order: Order,
}

impl Listing<'_> {
    pub(super) fn answer(mut self) -> Answer {
        self.order.sort(&mut self.entries);
        let mut main = String::with_capacity(2048 + 320 * self.entries.len());
        main.push_str(ICONS);
        self.write_header(&mut main);
        self.write_table(&mut main);
        self.write_footer(&mut main);
        let path = lossy(&self.names.join(&b'/'));
        let title = if path.is_empty() { self.title } else { &path };
        let mut answer = page::answer(StatusCode::OK, title, STYLE, &main);
        // It changes with every file, and nothing tells one state from another.
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer
    }

    fn write_header(&self, html: &mut String) {
        let name = self.names.last().map_or_else(|| self.title.to_owned(), |name| lossy(name));
        html.push_str("<header>\n");
        if !self.names.is_empty() {
            let parents = self.names[..self.names.len() - 1].iter().map(|name| lossy(name));
            html.push_str("<nav aria-label=\"Path\">");
            for (index, name) in [self.title.to_owned()].into_iter().chain(parents).enumerate() {
                let up = "../".repeat(self.names.len() - index);
                let name = Text(&name);
                put(html, format_args!("<a href=\"{up}\"><bdi>{name}</bdi></a><i>/</i>"));
            }
            html.push_str("</nav>\n");
        }
        put(html, format_args!("<h1><bdi>{}</bdi></h1>\n", Text(&name)));
        put(html, format_args!("<p>{}</p>\n</header>\n", self.summary()));
    }

    fn summary(&self) -> String {
        if self.is_cut {
            return format!("More than {}", entries(self.entries.len()));
        }
        let folders = self.entries.iter().filter(|entry| entry.is_folder).count();
        let files = self.entries.len() - folders;
        let size = self.entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
        let counts = [(folders, "folder"), (files, "file")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, what)| plural(count as u64, what));
        let mut summary = counts.collect::<Vec<_>>().join(", ");
        if files > 0 {
            put(&mut summary, format_args!(" · {}", human(size)));
        }
        if summary.is_empty() { "This folder is empty".to_owned() } else { summary }
    }

    fn write_table(&self, html: &mut String) {
        if self.entries.is_empty() && self.names.is_empty() {
            return;
        }
        html.push_str("<table>\n<thead>\n<tr>");
        for column in Column::ALL {
            self.write_heading(html, column);
        }
        html.push_str("</tr>\n</thead>\n<tbody>\n");
        if !self.names.is_empty() {
            html.push_str(
                "<tr class=\"up\"><td colspan=\"3\"><a href=\"../\"><svg><use href=\"#u\"/></svg>\
                 Parent folder</a></td></tr>\n",
            );
        }
        for entry in &self.entries {
            write_row(html, entry);
        }
        html.push_str("</tbody>\n</table>\n");
    }

    /// A link that sorts by `column`, or turns the order round.
    fn write_heading(&self, html: &mut String, column: Column) {
        let Order { column: current, descending } = self.order;
        let is_current = column == current;
        let sort = match (is_current, descending) {
            (false, _) => "",
            (true, false) => " aria-sort=\"ascending\"",
            (true, true) => " aria-sort=\"descending\"",
        };
        let next = Order { column, descending: is_current && !descending };
        let query = next.query();
        let (class, query, title) = (column.word(), Text(&query), column.title());
        put(
            html,
            format_args!(
                "<th scope=\"col\" class=\"{class}\"{sort}><a href=\"{query}\">{title}</a></th>"
            ),
        );
    }

    fn write_footer(&self, html: &mut String) {
        if self.is_cut {
            let shown = entries(self.entries.len());
            put(
                html,
                format_args!(
                    "<p class=\"note\">Only {shown} are shown; this folder has more.</p>\n"
                ),
            );
        }
        if !self.entries.is_empty() {
            html.push_str("<footer>Times are in UTC.</footer>\n");
        }
    }
}

fn write_row(html: &mut String, entry: &Entry) {
    let Entry { name, is_folder, size, modified } = entry;
    let (icon, slash) = if *is_folder { ("d", "/") } else { ("f", "") };
    // The dot keeps a colon in the name from making a scheme of it.
    put(
        html,
        format_args!(
            "<tr class=\"{icon}\"><td><a href=\"./{}{slash}\"><svg><use href=\"#{icon}\"/></svg>\
             <bdi>{}</bdi></a></td>",
            encode(name),
            Text(&lossy(name)),
        ),
    );
    if *is_folder {
        html.push_str("<td class=\"size\"></td>");
    } else {
        let (exact, human) = (plural(*size, "byte"), human(*size));
        put(
            html,
            format_args!(
                "<td class=\"size\"><data value=\"{size}\" title=\"{exact}\">{human}</data></td>"
            ),
        );
    }
    html.push_str("<td class=\"modified\">");
    if let Some((day, time)) = date(*modified) {
        let minute = &time[..5];
        put(
            html,
            format_args!("<time datetime=\"{day}T{time}Z\">{day} <span>{minute}</span></time>"),
        );
    }
    html.push_str("</td></tr>\n");
}

/// The day and the time of day, in the years that HTTP can tell.
fn date(seconds: i64) -> Option<(String, String)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < YEAR_10000)?;
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut fields = date.split(' ').skip(1);
    let (day, month, year, time) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some((format!("{year}-{month:02}-{day}"), time.to_owned()))
}

/// `size` as people say it, in decimal units.
fn human(size: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if size < 1000 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1000.0;
    let mut unit = 0;
    // What would be rounded to a thousand is one of the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let places = usize::from(value < 9.95);
    format!("{value:.places$} {}", UNITS[unit])
}

/// How many of `what` there are.
fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn entries(count: usize) -> String {
    format!("{} {}", grouped(count as u64), if count == 1 { "entry" } else { "entries" })
}

/// `number` with a comma after each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = html.write_fmt(text);
}

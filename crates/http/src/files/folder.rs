//! A folder whose files are served.

use std::hash::RandomState;
use std::io;
use std::path::{Path, PathBuf};

use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION,
};
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{Answer, Ask, Body};
use super::kept::Source;
use super::listing::{LISTING_MAX, Listing};
use super::mime::Types;
use super::open::{Found, Links, Miss, Way};
use super::order::Order;
use super::path::{BadPath, Names, encode, join};
use super::{content, page, sys};
use crate::compress::{Coding, negotiate, vary};
use crate::middleware::preferred;
use crate::server::is_registered;

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// A folder whose files are served.
///
/// By default links are followed while they [stay inside](Links::Inside), files whose name begins
/// with a dot are not served (save those in `.well-known`, RFC 8615), a folder is shown as its
/// `index.html` or else as a listing, and types are told by the extension.
///
/// ```
/// use http::HeaderValue;
/// use ropewalk_http::files::{Folder, Links};
///
/// let folder = Folder::new(env!("CARGO_MANIFEST_DIR"))?
///     .links(Links::None)
///     .index(["index.html", "index.htm"])
///     .mime("rs", HeaderValue::from_static("text/plain; charset=utf-8"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    title: String,
    links: Links,
    step_by_step: bool,
    hidden: bool,
    index: Vec<String>,
    fallback: Option<String>,
    listing: Option<usize>,
    types: Types,
    cache: Option<HeaderValue>,
    precompressed: bool,
    seed: RandomState,
}

impl Folder {
    /// The folder at `root`.
    ///
    /// The path is looked up anew for each request, so the folder may be replaced while it is
    /// served, and need not exist yet. A relative path is made absolute here, once.
    ///
    /// # Errors
    ///
    /// When `root` is relative and the current folder is unknown, or `root` is empty.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: std::path::absolute(root)?,
            title: "Files".to_owned(),
            links: Links::default(),
            step_by_step: false,
            hidden: false,
            index: vec!["index.html".to_owned()],
            fallback: None,
            listing: Some(LISTING_MAX),
            types: Types::default(),
            cache: None,
            precompressed: false,
            seed: RandomState::new(),
        })
    }

    /// Says which links to follow.
    #[must_use]
    pub fn links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// Never asks the kernel to resolve a whole path at once.
    ///
    /// Where a kernel lacks that call, or a sandbox refuses it, this happens by itself; it need be
    /// said only where a sandbox kills those who try. It is safe too, and slower.
    #[must_use]
    pub fn step_by_step(self) -> Self {
        Self { step_by_step: true, ..self }
    }

    /// Says whether names that begin with a dot are served and listed.
    #[must_use]
    pub fn hidden(self, hidden: bool) -> Self {
        Self { hidden, ..self }
    }

    /// Says which files stand for a folder: the first that there is.
    #[must_use]
    pub fn index<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        Self { index: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Says which file is answered, with 200, where there is none: a program that runs in the browser and
    /// reads its own addresses. By default there is none, and the answer is 404.
    ///
    /// It is for pages alone: the client takes `text/html`, and the last name in the path has no dot. A
    /// script or picture that is missing is still told to be.
    #[must_use]
    pub fn fallback(self, name: impl Into<String>) -> Self {
        Self { fallback: Some(name.into()), ..self }
    }

    /// Says how many entries a listing shows at most; with `None`, folders are not listed (403).
    #[must_use]
    pub fn listing(self, most: Option<usize>) -> Self {
        Self { listing: most, ..self }
    }

    /// Says what listings call the root.
    #[must_use]
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }

    /// Says the type of all files with this `extension`, in place of the usual one.
    #[must_use]
    pub fn mime(mut self, extension: &str, mime: HeaderValue) -> Self {
        self.types.set(extension, mime);
        self
    }

    /// Says the type of files whose extension says none; by default `application/octet-stream`.
    #[must_use]
    pub fn default_mime(mut self, mime: HeaderValue) -> Self {
        self.types.set_default(mime);
        self
    }

    /// Adds a `Cache-Control` field to answers with a file; by default there is none.
    #[must_use]
    pub fn cache_control(self, value: HeaderValue) -> Self {
        Self { cache: Some(value), ..self }
    }

    /// Says whether `style.css.br`, `.zst` or `.gz` is sent in place of `style.css` to those who take that
    /// coding; by default none is.
    ///
    /// It counts only while it is no older than the file that it stands for. Validators and ranges are those
    /// of what is sent. Who made the file sees to it that it holds the same.
    #[must_use]
    pub fn precompressed(self, precompressed: bool) -> Self {
        Self { precompressed, ..self }
    }

    /// Finds out what to answer. **Blocks**: it opens files, and reads small ones.
    ///
    /// # Paths
    ///
    /// The path is split at its slashes and then decoded, once. A name that is empty, `.` or `..`,
    /// or contains a slash or NUL, is answered with 404, as is all that leads out of the root, is
    /// hidden, or is neither file nor folder; a percent sign without two hexadecimal digits with
    /// 400. On Unix names are bytes, UTF-8 or not, and a backslash is a letter like others;
    /// elsewhere names that lead elsewhere or are devices are refused as well. The address of a
    /// folder ends in a slash: without it the answer is 308 with a relative `Location`.
    ///
    /// # Validators
    ///
    /// The entity tag is strong. It is made of the file's length, the times at which its content
    /// and its state were last changed (to the nanosecond), and its inode, so that machines that
    /// serve copies of a file give it different tags. While the last change is less than two
    /// seconds old, or in the future, the tag is marked weak: file systems that count time in
    /// coarse steps cannot tell two such changes apart. Listings have no validators.
    ///
    /// # Preconditions
    ///
    /// `If-Match`, else `If-Unmodified-Since` (412); `If-None-Match`, else `If-Modified-Since`
    /// (304); then `Range`, if `If-Range` allows it. A date that is malformed or repeated is
    /// ignored; of a malformed list of tags all before the fault count.
    ///
    /// # Ranges
    ///
    /// Ranges that overlap or touch become one, so an answer is never longer than the file and
    /// what marks its parts. One range is sent as it is, several as `multipart/byteranges`, in the
    /// order asked for. Malformed ranges, other units, repeated fields and more than
    /// [`RANGES_MAX`](super::RANGES_MAX) ranges are ignored (200); if no range has a byte in the
    /// file, the answer is 416.
    pub fn plan(&self, ask: &Ask<'_>) -> Answer {
        self.plan_from(ask, &mut None)
    }

    /// The same, and where the file was found, if the answer is about one that has this very path and
    /// depends on no other.
    pub(crate) fn plan_from(&self, ask: &Ask<'_>, source: &mut Option<Source>) -> Answer {
        let mut answer = match *ask.method {
            Method::GET | Method::HEAD => self
                .find(ask, source)
                .or_else(|miss| self.fall_back(ask, miss))
                .unwrap_or_else(|miss| page::error(miss.status())),
            Method::OPTIONS => {
                let headers = HeaderMap::from_iter([(ALLOW, ALLOWED)]);
                Answer { status: StatusCode::NO_CONTENT, headers, body: Body::Empty }
            }
            ref other if !is_registered(other) => page::error(StatusCode::NOT_IMPLEMENTED),
            _ => {
                let mut answer = page::error(StatusCode::METHOD_NOT_ALLOWED);
                answer.headers.insert(ALLOW, ALLOWED);
                answer
            }
        };
        if ask.method == Method::HEAD {
            answer.body = Body::Empty;
        }
        answer
    }

    fn find(&self, ask: &Ask<'_>, source: &mut Option<Source>) -> Result<Answer, Miss> {
        let rest = ask.path.strip_prefix(ask.base).ok_or(Miss::Absent)?;
        let names = match Names::parse(rest) {
            Ok(names) => names,
            Err(BadPath::Malformed) => return Ok(page::error(StatusCode::BAD_REQUEST)),
            Err(BadPath::Nameless) => return Err(Miss::Absent),
        };
        if names.is_hidden() && !self.hidden {
            return Err(Miss::Absent);
        }
        let path = names.joined();
        let found = sys::open(self.way(), &path)?;
        // No path at all is that of the root of a site, which has no other address.
        let is_folder_path = names.folder || ask.path.is_empty();
        match (found.metadata.is_dir(), is_folder_path) {
            (true, true) => self.show_folder(ask, &names, &path, &found),
            (true, false) => Ok(redirect(ask)),
            (false, true) => Err(Miss::Absent),
            (false, false) => {
                *source =
                    if self.precompressed { None } else { sys::source(self.way(), &path, &found) };
                let name = names.names.last().map(Vec::as_slice);
                self.show_file(ask, found, &path, name.unwrap_or_default())
            }
        }
    }

    fn fall_back(&self, ask: &Ask<'_>, miss: Miss) -> Result<Answer, Miss> {
        let Some(name) = &self.fallback else { return Err(miss) };
        let is_page = !ask.path.rsplit('/').next().unwrap_or_default().contains('.')
            && preferred(ask.headers, &ACCEPT, &["text/html"]).is_some();
        match miss {
            Miss::Absent if is_page => {
                let found = sys::open(self.way(), name.as_bytes())?;
                if !found.metadata.is_file() {
                    return Err(miss);
                }
                self.show_file(ask, found, name.as_bytes(), name.as_bytes())
            }
            _ => Err(miss),
        }
    }

    fn show_file(
        &self,
        ask: &Ask<'_>,
        found: Found,
        path: &[u8],
        name: &[u8],
    ) -> Result<Answer, Miss> {
        let (coding, found) = match self.packed(ask, path, &found) {
            Some((coding, packed)) => (Some(coding), packed),
            None => (None, found),
        };
        let mut answer = content::answer(ask, found, &self.types.of(name), &self.seed)?;
        let is_about_file = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
        if self.precompressed && is_about_file {
            vary(&mut answer.headers);
            if let Some(coding) = coding.filter(|_| answer.status.is_success()) {
                answer.headers.insert(CONTENT_ENCODING, coding.value());
            }
        }
        if let Some(cache) = self.cache.as_ref().filter(|_| is_about_file) {
            answer.headers.insert(CACHE_CONTROL, cache.clone());
        }
        Ok(answer)
    }

    /// What is sent in place of the file at `path`, if there is something that the client takes.
    fn packed(&self, ask: &Ask<'_>, path: &[u8], plain: &Found) -> Option<(Coding, Found)> {
        if !self.precompressed {
            return None;
        }
        let mut offers = vec![Coding::Brotli, Coding::Zstd, Coding::Gzip];
        // Who takes neither a coding nor the plain thing gets that all the same: there is nothing else.
        while let Ok(Some(coding)) = negotiate(ask.headers, &offers) {
            let path = [path, coding.extension().as_bytes()].concat();
            let fresh = |found: &Found| {
                let ages = (found.metadata.modified(), plain.metadata.modified());
                found.metadata.is_file()
                    && matches!(ages, (Ok(packed), Ok(plain)) if packed >= plain)
            };
            match sys::open(self.way(), &path) {
                Ok(found) if fresh(&found) => return Some((coding, found)),
                _ => offers.retain(|offer| *offer != coding),
            }
        }
        None
    }

    fn show_folder(
        &self,
        ask: &Ask<'_>,
        names: &Names,
        path: &[u8],
        found: &Found,
    ) -> Result<Answer, Miss> {
        for index in &self.index {
            let path = join(path, index.as_bytes());
            match sys::open(self.way(), &path) {
                Ok(found) if found.metadata.is_file() => {
                    return self.show_file(ask, found, &path, index.as_bytes());
                }
                Ok(_) | Err(Miss::Absent) => (),
                Err(miss) => return Err(miss),
            }
        }
        let most = self.listing.filter(|_| !found.unreadable).ok_or(Miss::Forbidden)?;
        if let Some(answer) = content::refuse_listing(ask) {
            return Ok(answer);
        }
        let (entries, is_cut) = sys::list(self.way(), path, found, self.hidden, most)?;
        let order = Order::parse(ask.query);
        let listing = Listing { title: &self.title, names: &names.names, entries, is_cut, order };
        Ok(listing.answer())
    }

    pub(super) fn way(&self) -> Way<'_> {
        Way { root: &self.root, links: self.links, step_by_step: self.step_by_step }
    }
}

/// Leads to the same address with a slash at its end.
///
/// The way is told from the folder above, beginning with a dot: no name can then be read as a host
/// or a scheme.
fn redirect(ask: &Ask<'_>) -> Answer {
    let name = ask.path.rsplit('/').next().unwrap_or_default();
    let name: Vec<u8> = percent_decode_str(name).collect();
    let place = format!("./{}/", encode(&name));
    let query = if ask.query.is_empty() { String::new() } else { format!("?{}", ask.query) };
    let location =
        HeaderValue::try_from(format!("{place}{query}")).or_else(|_| HeaderValue::try_from(place));
    let mut answer = page::error(StatusCode::PERMANENT_REDIRECT);
    if let Ok(location) = location {
        answer.headers.insert(LOCATION, location);
    }
    answer
}

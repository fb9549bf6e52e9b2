use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Threads, defer_to_threads};
use tempfile::NamedTempFile;

use super::error::FormError;
use super::fields::Fields;
use super::multipart::MultipartPiece;
use super::part::PartHead;
use super::stream::Multipart;
use crate::Request;

/// How much of a form is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormLimits {
    /// How many bytes all its fields have together; 256 KiB.
    pub fields: u64,
    /// How many bytes a file has; 8 MiB.
    pub file: u64,
    /// How many files there are; 32.
    pub files: usize,
}

impl Default for FormLimits {
    fn default() -> Self {
        Self { fields: 256 * 1024, file: 8 * 1024 * 1024, files: 32 }
    }
}

/// A form in parts, all of it: its fields in memory, its files on disk.
#[derive(Debug, Default)]
pub struct FormData {
    /// What was not a file.
    pub fields: Fields,
    /// The files, in their order.
    pub files: Vec<Upload>,
}

/// A file of a form, in a file of its own that goes away with this unless it is [kept](Self::keep).
#[derive(Debug)]
pub struct Upload {
    head: PartHead,
    file: NamedTempFile,
    length: u64,
}

impl Upload {
    /// The name of the field in the form.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// What the client calls the file: its word, and no path.
    pub fn file_name(&self) -> &str {
        self.head.file_name.as_deref().unwrap_or_default()
    }

    /// What the client says that it is.
    pub fn content_type(&self) -> Option<&HeaderValue> {
        self.head.content_type.as_ref()
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Moves it to `path`, which must be on the same file system and not be there yet. **Blocks.**
    ///
    /// # Errors
    ///
    /// What the system says; the file is gone then.
    pub fn keep(self, path: impl AsRef<Path>) -> io::Result<()> {
        self.file.persist_noclobber(path).map(drop).map_err(|refused| refused.error)
    }
}

impl FormData {
    /// Reads the form of a request: its files into `folder`, with the blocking work done by `threads`.
    ///
    /// The site's own bound on bodies ([`Limits`](crate::Limits)) holds as well. The deferred fails with a
    /// [`FormError`], a [`BodyError`](crate::BodyError), or an [`io::Error`]; what was written is gone then.
    pub fn read(
        request: Request,
        limits: FormLimits,
        folder: impl Into<PathBuf>,
        threads: impl Threads + 'static,
    ) -> Deferred<Self> {
        match Multipart::of(request) {
            Ok(form) => {
                let folder = folder.into();
                let reader = Reader { form, limits, folder, threads: Rc::new(threads) };
                reader.go_on(Gathered::default())
            }
            Err(error) => Deferred::fail(error),
        }
    }
}

struct Reader {
    form: Multipart,
    limits: FormLimits,
    folder: PathBuf,
    threads: Rc<dyn Threads>,
}

#[derive(Default)]
struct Gathered {
    data: FormData,
    fields_length: u64,
    /// The field that is coming.
    field: Option<(String, Vec<u8>)>,
    /// The file that is coming.
    upload: Option<Upload>,
}

impl Reader {
    fn go_on(mut self, gathered: Gathered) -> Deferred<FormData> {
        self.form.next_piece().add_callback(move |piece| match piece {
            Some(piece) => self.take(piece, gathered),
            None => Deferred::succeed(gathered.data),
        })
    }

    fn take(self, piece: MultipartPiece, mut gathered: Gathered) -> Deferred<FormData> {
        match piece {
            MultipartPiece::Begin(head) if head.file_name.is_some() => {
                if gathered.data.files.len() == self.limits.files {
                    return Deferred::fail(FormError::TooMany { max: self.limits.files });
                }
                let folder = self.folder.clone();
                let made = defer_to_threads(&*self.threads, move || NamedTempFile::new_in(folder));
                return made.add_callback(move |file| {
                    gathered.upload = Some(Upload { head, file, length: 0 });
                    self.go_on(gathered)
                });
            }
            MultipartPiece::Begin(head) => gathered.field = Some((head.name, Vec::new())),
            MultipartPiece::Data(data) => match gathered.upload.take() {
                Some(upload) => return self.write(upload, data, gathered),
                None => {
                    if let Err(error) = gathered.add(&data, self.limits) {
                        return Deferred::fail(error);
                    }
                }
            },
            MultipartPiece::End => gathered.end_part(),
        }
        self.go_on(gathered)
    }

    fn write(self, mut upload: Upload, data: Bytes, mut gathered: Gathered) -> Deferred<FormData> {
        upload.length += data.len() as u64;
        if upload.length > self.limits.file {
            let name = upload.head.name.clone();
            return Deferred::fail(FormError::TooLong { name, max: self.limits.file });
        }
        let written = defer_to_threads(&*self.threads, move || {
            upload.file.as_file_mut().write_all(&data).map(|()| upload)
        });
        written.add_callback(move |upload| {
            gathered.upload = Some(upload);
            self.go_on(gathered)
        })
    }
}

impl Gathered {
    fn add(&mut self, data: &[u8], limits: FormLimits) -> Result<(), FormError> {
        self.fields_length += data.len() as u64;
        let Some((name, value)) = &mut self.field else { return Ok(()) };
        if self.fields_length > limits.fields {
            return Err(FormError::TooLong { name: name.clone(), max: limits.fields });
        }
        value.extend_from_slice(data);
        Ok(())
    }

    fn end_part(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.data.files.push(upload);
        }
        if let Some((name, value)) = self.field.take() {
            let value = String::from_utf8_lossy(&value).into_owned();
            self.data.fields.push(name, value);
        }
    }
}

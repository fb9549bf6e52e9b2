//! Files that are read and written while the loop goes on.

use ropewalk_protocol::FileIo;

use crate::Reactor;

impl FileIo for Reactor {}

"""What the writer of a journal asks for before it writes: the lock, and a journal that is sound to its end."""

from libc.stdint cimport int64_t

from nautilus.core.journal_reader cimport JournalReader

# The descriptor that holds the lock of a journal's directory.
cdef int lock_directory(str path, int directory_fd) except -1
# For who is to write: check a journal and put it right. (reader that went through it, segments written anew, report or
# None for a new one). JournalError where it is not to be opened as asked, or cutting would not put it right. hashes: the
# name of a kind, or None. replay: a Replay, which carries the commands out on the way; what it objects to is raised
# before anything is cut.
cdef tuple make_sound(str path, int directory_fd, capacity, closed_capacity, first_sequence, epoch, hashes, replay)
# Leave exactly the valid prefix that `walk` found, sealed; `reader.chain` is then that of the seal.
cdef int recover(JournalReader reader, int directory_fd) except -1
# After a failed flush of segment `first_sequence`: the next opening does not trust what it reads of it to be on disk.
cdef void mark_unsynced(int directory_fd, int64_t first_sequence) noexcept nogil
cdef tuple renew_unsynced(str path, int directory_fd)
# Have the names in a directory on disk.
cdef int sync_directory(str path) except -1

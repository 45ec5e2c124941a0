"""What the writer of a journal asks for before it writes: the lock, and a journal that is sound to its end."""

from nautilus.core.journal_reader cimport JournalReader

# The descriptor that holds the lock of a journal's directory.
cdef int lock_directory(str path, int directory_fd) except -1
# JournalError where the damage is one that cutting would not put right.
cdef int refuse_unrepairable(JournalReader reader) except -1
# Leave exactly the valid prefix that `walk` found, sealed; `reader.chain` is then that of the seal.
cdef int recover(JournalReader reader, int directory_fd) except -1

"""One segment file of a journal, and what its damages are called."""

from libc.errno cimport EINTR, EIO, ENOMEM, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset, strerror

from nautilus.core.crc32c cimport crc32c_instruction, crc32c_update
from nautilus.core.hashing cimport HASH_XXH3, hash_open, hash_take, hash_t
from nautilus.core.types cimport command_t

from typing import NamedTuple

cdef extern from "Python.h":
    object PyOS_FSPath(object path)
    bytes PyUnicode_EncodeFSDefault(object text)
    object PyUnicode_DecodeFSDefault(const char* text)

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int fd, void* data, size_t length, int64_t offset)
    ssize_t pwrite(int fd, const void* data, size_t length, int64_t offset)

cdef extern from "<fcntl.h>" nogil:
    int c_open "open"(const char* path, int flags, ...)
    int O_RDONLY, O_DIRECTORY, O_CLOEXEC

cdef extern from "<sys/stat.h>" nogil:
    struct stat_t "stat":
        int64_t st_size
    int fstat(int fd, stat_t* status)

cdef extern from "<dirent.h>" nogil:
    ctypedef struct DIR:
        pass
    struct dirent:
        char* d_name
    DIR* opendir(const char* path)
    dirent* readdir(DIR* directory)
    int closedir(DIR* directory)

cdef extern from *:
    """
    static const uint8_t segment_magic[8] = {'N', 'A', 'U', 'T', 'J', 'N', 'L', '1'};
    static uint8_t segment_zeros[1 << 16];      /* of BUFFER bytes */

    #define SEGMENT_SHORT (1u | 64u << 16)      /* type and length of a command's head */
    #define SEGMENT_LONG (1u | 128u << 16)

    /* Valid commands in a row: bytes that they take. Each one's checksum is computed from the one stored before it, not
       from the one computed before it, which is the same where both are right: so the processor has several under way. */
    #define SEGMENT_TAKE(name, attributes, checksum)                                                             \
    attributes static size_t name(const uint8_t *at, size_t left, uint32_t *chain, int64_t *last,                 \
                                  command_t *out, size_t most, size_t *taken)                                     \
    {                                                                                                             \
        const uint8_t *start = at;                                                                                \
        uint32_t before = *chain;                                                                                 \
        int64_t sequence = *last;                                                                                 \
        size_t n = 0;                                                                                             \
        while (n < most && left >= 72) {                                                                          \
            uint32_t head[2];                                                                                     \
            memcpy(head, at, 8);                                                                                  \
            size_t bytes = head[1] >> 16;                                                                         \
            if ((head[1] != SEGMENT_SHORT && head[1] != SEGMENT_LONG) || left < bytes + 8)                        \
                break;                                                                                            \
            int64_t own;                                                                                          \
            memcpy(&own, at + 8, 8);                                                                              \
            if (checksum(before, at + 4, bytes) != head[0] || own != sequence + 1)                                \
                break;                                                                                            \
            if (out) {                                                                                            \
                memcpy(out + n, at + 8, 64);                                                                      \
                if (bytes == 128)                                                                                 \
                    memcpy((uint8_t *)(out + n) + 64, at + 72, 64);                                               \
                else                                                                                              \
                    memset((uint8_t *)(out + n) + 64, 0, 64);                                                     \
            }                                                                                                     \
            before = head[0];                                                                                     \
            sequence = own;                                                                                       \
            at += bytes + 8;                                                                                      \
            left -= bytes + 8;                                                                                    \
            n++;                                                                                                  \
        }                                                                                                         \
        *chain = before;                                                                                          \
        *last = sequence;                                                                                         \
        *taken = n;                                                                                               \
        return (size_t)(at - start);                                                                              \
    }

    static inline uint32_t segment_sum_tables(uint32_t seed, const uint8_t *at, size_t bytes)
    {
        return crc32c_tables(seed, at, bytes + 4);
    }
    SEGMENT_TAKE(segment_take_tables, , segment_sum_tables)

    #if defined(__x86_64__)
    CRC32C_TARGET static inline uint32_t segment_sum_sse42(uint32_t seed, const uint8_t *at, size_t bytes)
    {
        uint32_t tail;
        uint64_t word[16];
        memcpy(&tail, at, 4);
        memcpy(word, at + 4, 64);
        uint64_t crc = _mm_crc32_u32(~seed, tail);
        for (int i = 0; i < 8; i++)
            crc = _mm_crc32_u64(crc, word[i]);
        if (bytes == 128) {
            memcpy(word + 8, at + 68, 64);
            for (int i = 8; i < 16; i++)
                crc = _mm_crc32_u64(crc, word[i]);
        }
        return ~(uint32_t)crc;
    }
    SEGMENT_TAKE(segment_take_sse42, CRC32C_TARGET, segment_sum_sse42)
    #else
    #define segment_take_sse42 segment_take_tables
    #endif
    """
    const uint8_t* segment_magic
    const uint8_t* segment_zeros
    size_t segment_take_tables(const uint8_t* at, size_t left, uint32_t* chain, int64_t* last,
                               command_t* out, size_t most, size_t* taken) noexcept nogil
    size_t segment_take_sse42(const uint8_t* at, size_t left, uint32_t* chain, int64_t* last,
                              command_t* out, size_t most, size_t* taken) noexcept nogil

cdef enum:
    BUFFER = 1 << 16            # below what malloc takes from the system anew each time
    ZEROED = 1 << 18            # bytes at once: some 3,600 flushes of one command


class JournalError(ValueError):
    """A journal cannot be opened or written as asked.

    `code` is stable: `locked`, `closed`, `not a journal`, `layout`, `rules`, `epoch`, `capacity`, `segment size`,
    `sequence`, `missing segment`, or a damage as `JournalDamage.what` names it.
    """

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class JournalDamage(NamedTuple):
    """Where a journal is not as it was written, in which way, and what ought to be there."""

    segment: str
    offset: int
    what: str
    expected: str
    found: str

    def __str__(self):
        return f"{self.segment} at byte {self.offset}: {self.what}: expected {self.expected}, found {self.found}"


cdef void segment_sign(segment_header_t* header) noexcept nogil:
    memcpy(header.magic, segment_magic, 8)
    header.crc = crc32c_update(0, header, sizeof(segment_header_t) - 4)


cdef int segment_write_header(int fd, segment_header_t* header) noexcept nogil:
    """Sign the header and write its block, both copies. 0 or -errno."""
    cdef uint8_t[SEGMENT_HEADER] block
    segment_sign(header)
    memset(block, 0, SEGMENT_HEADER)
    memcpy(block, header, sizeof(segment_header_t))
    memcpy(block + SEGMENT_HEADER_COPY, header, sizeof(segment_header_t))
    return write_all(fd, block, SEGMENT_HEADER, 0)


cdef void segment_digest(const segment_header_t* header, hash_t* digest) noexcept nogil:
    """What stands in front of the records: so that the digest of a segment covers all segments before it."""
    cdef uint64_t[4] words
    hash_open(digest, segment_hashes(header))
    if digest.kind == HASH_XXH3:
        hash_take(digest, header, sizeof(segment_header_t))
        return
    words[0] = header.previous_digest
    words[1] = <uint64_t>header.first_sequence
    words[2] = header.epoch
    words[3] = header.crc
    hash_take(digest, words, sizeof(words))


cdef void segment_digest_records(hash_t* digest, const uint8_t* records, size_t bytes) noexcept nogil:
    """XXH3 takes the bytes as they are; XXH64 was defined over the bodies alone."""
    cdef record_head_t head
    cdef const uint8_t* end = records + bytes
    if digest.kind == HASH_XXH3:
        hash_take(digest, records, bytes)
        return
    while records < end:
        memcpy(&head, records, SEGMENT_HEAD)
        hash_take(digest, records + SEGMENT_HEAD, head.bytes)
        records += SEGMENT_HEAD + head.bytes


cdef size_t segment_mark(uint8_t* out, int type, const void* body, uint32_t* chain) noexcept nogil:
    """Encode a hash record or a seal behind the record whose checksum is `chain`; the bytes written."""
    cdef record_head_t head
    head.type = <uint16_t>type
    head.bytes = SEGMENT_MARK - SEGMENT_HEAD
    memcpy(out + SEGMENT_HEAD, body, SEGMENT_MARK - SEGMENT_HEAD)
    memcpy(out, &head, SEGMENT_HEAD)
    head.crc = crc32c_update(chain[0], out + 4, SEGMENT_MARK - 4)
    memcpy(out, &head, SEGMENT_HEAD)
    chain[0] = head.crc
    return SEGMENT_MARK


cdef bint header_valid(const segment_header_t* header) noexcept nogil:
    return memcmp(header.magic, segment_magic, 8) == 0 and \
        header.crc == crc32c_update(0, header, sizeof(segment_header_t) - 4)


cdef int cursor_open(cursor_t* cursor, int fd) noexcept nogil:
    cdef stat_t status
    cdef int64_t got
    cdef const segment_header_t* first
    cdef const segment_header_t* second
    cdef bint first_valid, second_valid
    cdef size_t at
    memset(cursor, 0, sizeof(cursor_t))
    cursor.fd = fd
    if fstat(fd, &status) != 0:
        return -errno
    cursor.size = status.st_size
    cursor.buffer = <uint8_t*>malloc(BUFFER)
    if cursor.buffer is NULL:
        return -ENOMEM
    memset(cursor.buffer, 0, SEGMENT_HEADER)
    got = read_all(fd, cursor.buffer, SEGMENT_HEADER, 0)
    if got < 0:
        return <int>got
    first = <const segment_header_t*>cursor.buffer
    second = <const segment_header_t*>(cursor.buffer + SEGMENT_HEADER_COPY)
    first_valid = header_valid(first)
    second_valid = header_valid(second)
    cursor.offset = SEGMENT_HEADER
    if not first_valid and not second_valid:
        if got < <int64_t>sizeof(segment_header_t):
            return DAMAGE_HEADER
        if memcmp(first.magic, segment_magic, 8) != 0 and memcmp(second.magic, segment_magic, 8) != 0:
            return DAMAGE_MAGIC
        return DAMAGE_HEADER
    cursor.header = first[0] if first_valid else second[0]
    cursor.chain = cursor.header.crc
    cursor.last_sequence = cursor.header.first_sequence - 1
    segment_digest(&cursor.header, &cursor.digest)
    if got < SEGMENT_HEADER:
        return 0                # cut inside the header block: the size says so
    if not first_valid or not second_valid or memcmp(first, second, sizeof(segment_header_t)) != 0:
        return DAMAGE_HEADER_COPY
    for at in range(sizeof(segment_header_t), <size_t>SEGMENT_HEADER):
        if cursor.buffer[at] != 0 and not SEGMENT_HEADER_COPY <= at < SEGMENT_HEADER_COPY + sizeof(segment_header_t):
            return DAMAGE_HEADER_COPY
    return 0


cdef void cursor_close(cursor_t* cursor) noexcept nogil:
    free(cursor.buffer)
    cursor.buffer = NULL


cdef int cursor_fill(cursor_t* cursor) noexcept nogil:
    """Have the bytes of the next record in the buffer, as far as the file has them."""
    cdef int64_t got
    if cursor.offset >= cursor.base and cursor.offset + SEGMENT_RECORD <= cursor.base + <int64_t>cursor.filled:
        return 0
    got = read_all(cursor.fd, cursor.buffer, BUFFER, cursor.offset)
    if got < 0:
        return <int>got
    cursor.base = cursor.offset
    cursor.filled = <size_t>got
    return 0


cdef int cursor_next(cursor_t* cursor, command_t* out) noexcept nogil:
    cdef record_head_t head
    cdef seal_body_t seal
    cdef hash_body_t mark
    cdef const uint8_t* at
    cdef int64_t left
    cdef uint64_t zero = 0
    cdef uint32_t crc
    cdef int rc = cursor_fill(cursor)
    if rc < 0:
        return rc
    left = cursor.base + <int64_t>cursor.filled - cursor.offset
    at = cursor.buffer + (cursor.offset - cursor.base)
    if left < SEGMENT_HEAD:
        return DAMAGE_CUT if left > 0 and memcmp(at, &zero, <size_t>left) != 0 else RECORD_END
    if memcmp(at, &zero, SEGMENT_HEAD) == 0:
        return RECORD_END
    memcpy(&head, at, SEGMENT_HEAD)
    if not ((head.type == RECORD_COMMAND and (head.bytes == 64 or head.bytes == 128))
            or ((head.type == RECORD_HASH or head.type == RECORD_SEAL) and head.bytes == SEGMENT_MARK - SEGMENT_HEAD)):
        cursor.found = head.type
        return DAMAGE_HEAD
    if left < SEGMENT_HEAD + head.bytes:
        cursor.expected = cursor.offset + SEGMENT_HEAD + head.bytes
        cursor.found = cursor.offset + left
        return DAMAGE_CUT
    crc = crc32c_update(cursor.chain, at + 4, head.bytes + 4)
    if crc != head.crc:
        cursor.expected = crc
        cursor.found = head.crc
        return DAMAGE_CHECKSUM
    if head.type == RECORD_COMMAND:
        memcpy(out, at + SEGMENT_HEAD, head.bytes)
        memset(<uint8_t*>out + head.bytes, 0, sizeof(command_t) - head.bytes)
        cursor.expected = cursor.last_sequence + 1
        cursor.found = out.sequence
        if out.sequence != cursor.expected:
            return DAMAGE_SEQUENCE
        cursor.last_sequence = out.sequence
    elif head.type == RECORD_HASH:
        memcpy(&mark, at + SEGMENT_HEAD, sizeof(hash_body_t))
        cursor.expected = cursor.last_sequence
        cursor.found = mark.command_sequence
        if mark.command_sequence != cursor.last_sequence:
            return DAMAGE_SEQUENCE
        cursor.hash = mark
    else:
        memcpy(&seal, at + SEGMENT_HEAD, sizeof(seal_body_t))
        cursor.expected = cursor.last_sequence
        cursor.found = seal.last_sequence
        if seal.last_sequence != cursor.last_sequence or seal.offset != cursor.offset \
                or not SEAL_ROLL <= seal.kind <= SEAL_RECOVERED:
            return DAMAGE_SEAL
        cursor.seal = seal.kind
        cursor.unsealed_chain = cursor.chain
        cursor.unsealed_digest = cursor.digest
    segment_digest_records(&cursor.digest, at, SEGMENT_HEAD + head.bytes)
    cursor.chain = crc
    cursor.offset += SEGMENT_HEAD + head.bytes
    cursor.records += 1
    return head.type


cdef Py_ssize_t cursor_commands(cursor_t* cursor, command_t* out, Py_ssize_t most, int* kind) noexcept nogil:
    cdef command_t one
    cdef Py_ssize_t done = 0
    cdef size_t taken, used
    cdef const uint8_t* at
    kind[0] = RECORD_COMMAND
    while done < most:
        kind[0] = cursor_fill(cursor)
        if kind[0] < 0:
            break
        at = cursor.buffer + (cursor.offset - cursor.base)
        used = <size_t>(cursor.base + <int64_t>cursor.filled - cursor.offset)
        if crc32c_instruction:
            used = segment_take_sse42(at, used, &cursor.chain, &cursor.last_sequence,
                                      out + done if out is not NULL else NULL, <size_t>(most - done), &taken)
        else:
            used = segment_take_tables(at, used, &cursor.chain, &cursor.last_sequence,
                                       out + done if out is not NULL else NULL, <size_t>(most - done), &taken)
        segment_digest_records(&cursor.digest, at, used)
        cursor.offset += <int64_t>used
        cursor.records += <int64_t>taken
        done += <Py_ssize_t>taken
        kind[0] = RECORD_COMMAND
        if taken or done == most:
            continue
        # The end of the buffer, or what is no valid command: cursor_next says what.
        kind[0] = cursor_next(cursor, &one)
        if kind[0] != RECORD_COMMAND:
            break
        if out is not NULL:
            memcpy(out + done, &one, sizeof(command_t))
        done += 1
    return done


cdef int64_t cursor_data_end(cursor_t* cursor, int64_t offset) noexcept nogil:
    cdef int64_t end = offset
    cdef int64_t at = offset
    cdef int64_t got, i
    while True:
        got = read_all(cursor.fd, cursor.buffer, BUFFER, at)
        if got < 0:
            return got
        if got == 0:
            break
        # Zeros equal themselves moved by one byte: memcmp finds the common, untouched stretch at memory speed.
        if cursor.buffer[0] != 0 or memcmp(cursor.buffer, cursor.buffer + 1, <size_t>got - 1) != 0:
            i = got
            while i > 0 and cursor.buffer[i - 1] == 0:
                i -= 1
            end = at + i
        at += got
    cursor.filled = 0           # the buffer no longer holds what cursor_next read
    return end


cdef int64_t cursor_kept_end(cursor_t* cursor, int64_t offset) noexcept nogil:
    # A file shorter than its segment was cut to size: zeros at its end are data.
    if cursor.size != cursor.header.segment_bytes:
        return max(cursor.size, offset)
    return cursor_data_end(cursor, offset)


cdef int zero_ahead(int fd, int64_t offset, size_t used, int64_t segment_bytes, int64_t* zeroed) noexcept nogil:
    cdef int64_t at = offset + <int64_t>used, most
    cdef int rc = 0
    if used > BUFFER or at <= zeroed[0]:
        return 0
    zeroed[0] = min(at + ZEROED, segment_bytes)
    while at < zeroed[0] and rc == 0:
        most = min(zeroed[0] - at, <int64_t>BUFFER)
        rc = write_all(fd, segment_zeros, <size_t>most, at)
        at += most
    return rc


cdef int write_all(int fd, const void* data, size_t length, int64_t offset) noexcept nogil:
    """Write every byte. 0 or -errno; part of the data may be in the file after a failure."""
    cdef const uint8_t* at = <const uint8_t*>data
    cdef ssize_t put
    while length:
        put = pwrite(fd, at, length, offset)
        if put < 0:
            if errno == EINTR:
                continue
            return -errno
        if put == 0:
            return -EIO
        at += put
        offset += put
        length -= <size_t>put
    return 0


cdef int64_t read_all(int fd, void* data, size_t length, int64_t offset) noexcept nogil:
    """The number of bytes read, less than `length` at the end of the file only; or -errno."""
    cdef size_t done = 0
    cdef ssize_t got
    while done < length:
        got = pread(fd, <uint8_t*>data + done, length - done, offset + <int64_t>done)
        if got < 0:
            if errno == EINTR:
                continue
            return -errno
        if got == 0:
            break
        done += <size_t>got
    return <int64_t>done


cdef bytes path_bytes(object path):
    path = PyOS_FSPath(path)
    return PyUnicode_EncodeFSDefault(path) if isinstance(path, str) else path


cdef object os_error(int code, object name):
    """The OSError of an errno, as the caller may raise it."""
    return OSError(code, (<bytes>strerror(code)).decode(), name)


cdef int open_directory(object path) except -1:
    cdef bytes name = path_bytes(path)
    cdef int fd = c_open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        raise os_error(errno, path)
    return fd


cdef list list_directory(object path):
    """Names in a directory, sorted."""
    cdef bytes name = path_bytes(path)
    cdef DIR* directory = opendir(name)
    cdef dirent* entry
    cdef list names = []
    if directory is NULL:
        raise os_error(errno, path)
    try:
        while True:
            entry = readdir(directory)
            if entry is NULL:
                break
            names.append(PyUnicode_DecodeFSDefault(entry.d_name))
    finally:
        closedir(directory)
    return sorted(names)


cdef str segment_name(int64_t first_sequence):
    return f"{first_sequence:016x}.journal"

# C types for copied.py (Cython, pure Python mode). `raw` is a pointer: each offset is checked before it is read.
cimport cython

cdef int _TEXT, _CSV, _BINARY, _BACKSLASH, _NEWLINE

@cython.locals(fields=list, found=list, cut=list, raw="const unsigned char*", special="const unsigned char*",
               at=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, body=Py_ssize_t, column=Py_ssize_t, following=Py_ssize_t, comma=cython.int,
               mark=cython.int, shield=cython.int)
cpdef list pick(bytes run, Py_ssize_t width, tuple wanted, int kind, bytes marks, bytes delimiter, bytes quote,
                bytes escape)

@cython.locals(out=list, headers=dict, replaced=list, raw="const unsigned char*", special="const unsigned char*",
               at=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, body=Py_ssize_t, row=Py_ssize_t, kept=Py_ssize_t,
               begin=Py_ssize_t, length=Py_ssize_t, column=Py_ssize_t, following=Py_ssize_t, new=list, field=bytes,
               comma=cython.int, mark=cython.int, shield=cython.int)
cpdef bytes splice(bytes run, Py_ssize_t width, dict columns, int kind, bytes marks, bytes delimiter, bytes quote,
                   bytes escape)

@cython.locals(raw="const unsigned char*", at=Py_ssize_t, last=Py_ssize_t, end=Py_ssize_t)
cpdef Py_ssize_t last_message(bytes run) except -2

@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t _message_end(const unsigned char* raw, Py_ssize_t at, Py_ssize_t end) except -2

cdef (Py_ssize_t, Py_ssize_t) _body(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop, int kind,
                                    Py_ssize_t width) except *

cdef Py_ssize_t _field_end(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop, int kind,
                           const unsigned char* special, int delimiter, int quote, int escape) except -2

cdef Py_ssize_t _closing(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop, int quote, int escape) except -2

@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t _binary_end(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop) except -2

cdef Py_ssize_t _next(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop, int kind, int delimiter,
                      Py_ssize_t left) except -2

@cython.locals(value=Py_ssize_t)
cdef Py_ssize_t _long(const unsigned char* raw, Py_ssize_t at) noexcept

# C types for rows.py (Cython, pure Python mode). `raw` is a pointer: rows.py checks each offset before it reads there.
cimport cython

cdef bytes _NULL
cdef list _LENGTHS

@cython.locals(cells=list, raw="const unsigned char*", at=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t,
               column=Py_ssize_t, size=Py_ssize_t)
cpdef list pick(bytes run, Py_ssize_t width, Py_ssize_t index)

@cython.locals(out=list, headers=dict, replaced=list, raw="const unsigned char*", at=Py_ssize_t, end=Py_ssize_t,
               stop=Py_ssize_t, row=Py_ssize_t, kept=Py_ssize_t, begin=Py_ssize_t, length=Py_ssize_t,
               column=Py_ssize_t, size=Py_ssize_t, following=Py_ssize_t, new=list, cell=bytes)
cpdef bytes splice(bytes run, Py_ssize_t width, dict columns)

@cython.locals(stop=Py_ssize_t)
cdef Py_ssize_t _row_end(const unsigned char* raw, Py_ssize_t at, Py_ssize_t end, Py_ssize_t width) except -2

@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t _size(const unsigned char* raw, Py_ssize_t at, Py_ssize_t stop) except -2

@cython.locals(value=Py_ssize_t)
cdef Py_ssize_t _long(const unsigned char* raw, Py_ssize_t at) noexcept

// A library that throws, and that calls back into its user.
#include <stdexcept>

namespace library {

struct Cleanup {
    long &count;
    ~Cleanup() { count++; }
};

long cleanups;

__attribute__((noipa)) long throw_from_library(long depth)
{
    Cleanup cleanup{cleanups};
    if (depth == 0) {
        throw std::runtime_error("from the library");
    }
    return throw_from_library(depth - 1) + 1;
}

__attribute__((noipa)) long call_back(long (*function)(long), long depth)
{
    Cleanup cleanup{cleanups};
    return function(depth) + 1;
}

} // namespace library

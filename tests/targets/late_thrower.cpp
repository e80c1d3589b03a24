// A library that a C program loads: it throws through the program's frames, and catches what it threw. See late.c.
#include <stdexcept>

extern "C" __attribute__((noipa)) long throws(long value)
{
    if (value >= 0) {
        throw std::runtime_error("late");
    }
    return value;
}

extern "C" __attribute__((noipa)) long catches(long (*function)(long (*)(long), long), long value)
{
    try {
        return function(throws, value);
    } catch (const std::runtime_error &error) {
        return 1;
    }
}

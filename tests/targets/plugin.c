/* A library that is loaded and unloaded again: see plugins.c. */
__attribute__((noipa)) long plug(long n)
{
    return n * 5 + 2;
}
